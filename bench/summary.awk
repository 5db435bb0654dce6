# Makes tables of the samples of bench/run: awk -f bench/statistics.awk -f bench/ratios.awk -f bench/summary.awk.

function took(command, contender, pods,   i, list, n) {
  n = count[command, contender, pods]
  for (i = 1; i <= n; i++) list[i] = milliseconds[command, contender, pods, i]
  sort(list, n)
  return quantile(list, n, 0.5)
}

# took_beside(COMMAND, PODS, OTHER): Sluice's time in OTHER's, round by round.
function took_beside(command, pods, other,   i, list, n) {
  n = count[command, "sluice", pods]
  for (i = 1; i <= n; i++) list[i] = milliseconds[command, "sluice", pods, i] / milliseconds[command, other, pods, i]
  sort(list, n)
  return spread(list, n)
}

function traffic_row(workload, title,   scale) {
  scale = workload == "tcp_stream" ? sprintf("%.1f Gbit/s", absolute(workload, "raw") * 8 / 1e9) \
                                   : sprintf("%d /s", absolute(workload, "raw"))
  printf "| %s | %s | %.2f | %.2f | %.2f | %s | %s |\n", title, scale, \
    ratio(workload, "peer", "raw"), ratio(workload, "bridge", "raw"), ratio(workload, "sluice", "raw"), \
    beside(workload, "sluice", "peer"), beside(workload, "sluice", "bridge")
}

function attachment_row(command, pods, title) {
  printf "| %s | %.1f | %.1f | %.1f | %s | %s |\n", title, took(command, "veth", pods), took(command, "bridge", pods), \
    took(command, "sluice", pods), took_beside(command, pods, "bridge"), took_beside(command, pods, "veth")
}

$1 == "add" || $1 == "del" { milliseconds[$1, $2, $3, ++count[$1, $2, $3]] = $4 }

END {
  print "## Pod to pod on one node, beside a raw veth pair (1.00)\n"
  print "| traffic | raw veth pair | bare redirect_peer | bridge plugin | Sluice | Sluice / redirect_peer | Sluice / bridge |"
  print "|---|---:|---:|---:|---:|---:|---:|"
  traffic_row("tcp_rr", "TCP request and response, 16 processes")
  traffic_row("udp_rr", "UDP request and response, 16 processes")
  traffic_row("tcp_stream", "one TCP stream")
  traffic_row("tcp_crr", "TCP connect, request, close, 16 processes")
  print "\n## Attaching a pod, in milliseconds\n"
  print "| step | veth pair by netlink | bridge plugin, host-local | Sluice | Sluice / bridge | Sluice / veth pair |"
  print "|---|---:|---:|---:|---:|---:|"
  attachment_row("add", 1, "ADD, 1 pod there")
  attachment_row("add", 250, "ADD, 250 pods there")
  attachment_row("del", 1, "DEL, 1 pod there")
  attachment_row("del", 250, "DEL, 250 pods there")
}
