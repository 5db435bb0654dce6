# What the tests with real container runtimes share: a machine of their own to run on, an image, and checks.
# shellcheck shell=bash
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"

tree=$(readlink -f -- "$(dirname -- "${BASH_SOURCE[0]}")/../..")

# What the node is for the pods: an address of each family.
readonly node_v4=192.0.2.1 node_v6=2001:db8::1

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# isolate ARGUMENT...: starts this script again where it can do no harm, with the machine's own paths as a node has them:
# own network, mounts and processes, a /run and a bpffs of its own, and /etc, /opt and /var/lib writable but unchanged
# outside. All of it, each process included, is gone with the script, however that ends; only the empty cgroups stay,
# and those are removed here.
isolate() {
  [ -z "${ISOLATED:-}" ] || return 0
  local cgroup=sluice-runtime-$$ status=0
  ISOLATED=$cgroup unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@" </dev/null || status=$?
  find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
  exit "$status"
}

# furnish PLUGIN: what isolate promises, from inside; PLUGIN is put where runtimes look for plugins, beside Debian's.
furnish() {
  local folder
  mount -t tmpfs tmpfs /run
  mount -t bpf bpf /sys/fs/bpf
  for folder in /etc /opt /var/lib; do
    mkdir -p "/run/layers$folder/upper" "/run/layers$folder/work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=/run/layers$folder/upper,workdir=/run/layers$folder/work" \
      "$folder"
  done
  rm -rf /etc/cni/net.d /var/lib/cni /etc/sluice /var/lib/sluice
  mkdir -p /etc/cni/net.d /opt/cni/bin /etc/sluice
  cp /usr/lib/cni/* "$1" /opt/cni/bin/
  ip link set lo up
  ip link add uplink type veth peer name wire
  ip link set uplink addrgenmode none up
  ip link set wire addrgenmode none
  ip link set wire up
  ip addr add "$node_v4/24" dev uplink
  ip addr add "$node_v6/64" dev uplink nodad
  ulimit -n 1024 -u 1024
}

# rootfs FOLDER: an image that is busybox, with a page for its httpd.
rootfs() {
  mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,run,var,www}
  cp "$(command -v busybox)" "$1/bin/busybox"
  ln -s busybox "$1/bin/sh"
  echo "served by sluice" >"$1/www/index.html"
}

# eventually COMMAND...: until it succeeds, ten seconds at most.
eventually() {
  local end=$((SECONDS + 10))
  until "$@" >/run/eventually.log 2>&1; do
    [ $SECONDS -lt $end ] || { cat /run/eventually.log >&2; fail "not within 10 s: $*"; }
    sleep 0.1
  done
}

# talk [RUN CONTAINER] ADDRESS PORT: RUN (a command that runs busybox's applets in CONTAINER; without it: on the node)
# reaches ADDRESS, which is an httpd's, by ping and by TCP. nc, since the wget of a static busybox crashes in getservbyname.
talk() {
  local from=(busybox) address=${*: -2:1} port=${*: -1}
  [ $# = 2 ] || from=("${@:1:$#-2}")
  eventually "${from[@]}" ping -c 1 -W 2 "$address"
  eventually "${from[@]}" sh -c "printf 'GET /index.html HTTP/1.0\r\n\r\n' | busybox nc -w 2 $address $port"
  grep -q '^served by sluice$' /run/eventually.log || fail "$address answered something else: $(cat /run/eventually.log)"
}

# configure_network: the conflist that is shipped, and a node with blocks of addresses. The control groups are the machine's.
configure_network() {
  cp "$tree/packaging/10-sluice.conflist" /etc/cni/net.d/
  printf 'podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]\nsocketBalancing: false\n' >/etc/sluice/sluice.yaml
}

# collect_garbage: GC by the runtime that knows of no attachment (CNI spec 1.1.0, "GC").
collect_garbage() {
  echo '{"cniVersion": "1.1.0", "name": "sluice", "type": "sluice-cni", "cni.dev/valid-attachments": []}' |
    CNI_COMMAND=GC CNI_PATH=/opt/cni/bin /opt/cni/bin/sluice-cni
}

# nothing_left: what Sluice remembers of attachments is gone: reserved addresses, records, endpoints.
nothing_left() {
  local left
  left=$(find /var/lib/sluice/ipam /var/lib/sluice/attachments /sys/fs/bpf/sluice/links ! -type d ! -name '.*' -print)
  [ -z "$left" ] || fail "left behind: $left"
  left=$(bpftool map dump pinned /sys/fs/bpf/sluice/maps/v*/endpoints)
  [ "$left" = "[]" ] || grep -q '^Found 0 elements' <<<"$left" || fail "left behind: endpoints $left"
}

# network_state: everything of the network that an attachment could leave behind.
network_state() {
  ip -o link | sed 's/^[0-9]*: //; s/ *$//'
  ip -o addr | sed 's/^[0-9]*: //'
  ip route
  ip -6 route
  ip neigh show nud permanent
}
