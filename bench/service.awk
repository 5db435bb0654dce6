# Makes the table of the samples of bench/service; needs statistics.awk and ratios.awk before it. A "workload" is a number of Services.

function row(title, count, contender, straight) {
  printf "| %s | %d | %d /s | %s | %s |\n", title, count, absolute(count, contender), beside(count, contender, straight), \
    beside(count, contender, "sluice:pod:none")
}

function rows(count) {
  row("Sluice, hooks of sockets", count, "sluice:service:group", "sluice:pod:none")
  row("Sluice, packet by packet", count, "sluice:service:none", "sluice:pod:none")
  row("routed veth pairs, iptables", count, "iptables:service:none", "routed:pod:none")
  row("routed veth pairs, nftables", count, "nftables:service:none", "routed:pod:none")
}

$1 == "rate" && !($2 in seen) {
  seen[$2] = 1
  order[++counts] = $2
}

END {
  print "| through a ClusterIP | Services | connections | beside straight to the pod, without rules | beside Sluice straight to the pod |"
  print "|---|---:|---:|---:|---:|"
  for (i = 1; i <= counts; i++) rows(order[i])
}
