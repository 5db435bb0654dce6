# What the tables of bench/run and bench/service are made of, from samples "rate WORKLOAD WORLD REPETITION PER-SECOND". A
# ratio is the median of the ratios of each repetition, whose parts were measured within a few seconds; in brackets stand
# the quartiles of those ratios. Needs statistics.awk before it.

function ratios(workload, world, other, list,   i) {
  for (i = 0; i < repetitions; i++) list[i + 1] = rate[workload, world, i] / rate[workload, other, i]
  sort(list, repetitions)
}

# ratio(WORKLOAD, WORLD, OTHER): how WORLD does beside OTHER.
function ratio(workload, world, other,   list) {
  ratios(workload, world, other, list)
  return quantile(list, repetitions, 0.5)
}

function absolute(workload, world,   i, list) {
  for (i = 0; i < repetitions; i++) list[i + 1] = rate[workload, world, i]
  sort(list, repetitions)
  return quantile(list, repetitions, 0.5)
}

# spread(LIST, COUNT): of a sorted list.
function spread(list, count) {
  return sprintf("**%.2f** (%.2f to %.2f)", quantile(list, count, 0.5), quantile(list, count, 0.25), \
    quantile(list, count, 0.75))
}

# beside(WORKLOAD, WORLD, OTHER): how WORLD does beside OTHER, with the quartiles.
function beside(workload, world, other,   list) {
  ratios(workload, world, other, list)
  return spread(list, repetitions)
}

$1 == "rate" {
  rate[$2, $3, $4] = $5
  if ($4 >= repetitions) repetitions = $4 + 1
}
