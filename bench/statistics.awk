# Medians and quartiles, for the summaries of this folder: awk -f bench/statistics.awk -f SUMMARY.

function sort(list, count,   i, j, value) {
  for (i = 2; i <= count; i++) {
    value = list[i]
    for (j = i - 1; j >= 1 && list[j] > value; j--) list[j + 1] = list[j]
    list[j + 1] = value
  }
}

# quantile(LIST, COUNT, PART): of a sorted list, between its neighbours where it falls between.
function quantile(list, count, part,   at, low) {
  at = 1 + (count - 1) * part
  low = int(at)
  return low == count ? list[low] : list[low] + (at - low) * (list[low + 1] - list[low])
}
