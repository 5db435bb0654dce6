# Makes tables of the samples of bench/policy, with statistics.awk: first the file of connections, then that of changes.

# spread(LIST, COUNT, FORMAT): the median, and in brackets the quartiles.
function spread(list, count, format) {
  sort(list, count)
  return sprintf("**" format "** (" format " to " format ")", quantile(list, count, 0.5), quantile(list, count, 0.25), \
    quantile(list, count, 0.75))
}

FILENAME == ARGV[1] {
  if (!($1 in rates)) order[++worlds] = $1
  rate[$1, ++rates[$1]] = $3
}
FILENAME == ARGV[2] {
  size = $1 " | " ($2 == "policy" ? "a policy" : $2 == "block" ? "an address block around every pod" : "a namespace")
  if (!(size in changes)) changed[++sizes] = size
  whole[size, ++changes[size]] = $3 / 1000
  part[size, changes[size]] = $4 / 1000
}

END {
  print "\n## New connections, TCP connect, request, close, 16 processes\n"
  print "| policies | per second | beside none |"
  print "|--:|--:|--:|"
  for (w = 1; w <= worlds; w++) {
    count = rates[order[w]]
    for (i = 1; i <= count; i++) {
      list[i] = rate[order[w], i]
      ratio[i] = rate[order[w], i] / rate[order[1], i]
    }
    printf "| %s | %s | %s |\n", order[w], spread(list, count, "%d"), spread(ratio, count, "%.2f")
  }
  print "\n## A change, in milliseconds\n"
  print "| policies | what changes | from the closed file to in force | slowest | the agent's policy part, until nothing is left to do |"
  print "|--:|:--|--:|--:|--:|"
  for (s = 1; s <= sizes; s++) {
    count = changes[changed[s]]
    for (i = 1; i <= count; i++) {
      list[i] = whole[changed[s], i]
      ratio[i] = part[changed[s], i]
    }
    worst = spread(list, count, "%.1f") # sorts
    printf "| %s | %s | %.1f | %s |\n", changed[s], worst, list[count], spread(ratio, count, "%.1f")
  }
}
