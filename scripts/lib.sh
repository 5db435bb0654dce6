# Sourced by the scripts beside it: where the tree is, and a start that does not depend on how the caller was set up
# (working directory, umask, locale, standard input).
# shellcheck shell=bash
set -euo pipefail
umask 022
exec </dev/null
unset CDPATH
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
tree=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
cd -- "$tree"

# say WORDS...: one line of what happens now, to standard error, which results never share.
say() { printf '%s\n' "$*" >&2; }

# die WORDS...: the end, with the script's name before the reason.
die() {
  say "${0##*/}: $*"
  exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "must run as root: sudo $0"; }
