#!/usr/bin/env bash
# Runs a network function, with its options. Builds it first if needed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/scripts/common.sh"

built() { (cd "$build/nfs" && for nf in *; do [[ -f $nf && -x $nf ]] && printf ' %s' "$nf"; done); }
usage() {
  cat <<TXT
Usage: $0 NAME [--restart never|on-failure|always] [--instances N] [--gpu] [--service NAME]
       [--cores LIST] [--eal private|secondary] [--prefix NAME] [NF options]
       $0 NAME --gpu --kernel FILE.cl [--table FILE]
  NAME: one of$(built); with --kernel a name of your own
  $0 NAME --help   lists all options of that NF
or:    $0 --onvm PROGRAM [-r SERVICE] [-t SECONDS] [-l MILLIONS] [-m] [-s] [--service NAME]
       [--cores LIST] [--prefix NAME] [-- NF options]
  PROGRAM: an OpenNetVM NF that scripts/onvm_build.sh has built; SERVICE: its id, 1 to 31 (default 1)
or:    $0 --onvm PROGRAM -F FILE.json [...]   as OpenNetVM does
TXT
}

# An OpenNetVM NF has OpenNetVM's command line: EAL's part, its own, and the NF's.
start_onvm() {
  (($#)) || die "--onvm needs a program: see $0 --help"
  local program=$1
  shift
  [[ -f $program && -x $program ]] ||
    die "'$program' is not a program: build the NF's folder with scripts/onvm_build.sh first"
  if [[ ${1-} == -F ]]; then exec "$program" "$@"; fi
  local -a own=()
  local service=(-r 1)
  while (($#)) && [[ $1 != -- ]]; do
    if [[ $1 == -r* ]]; then service=(); fi
    own+=("$1")
    shift
  done
  if (($#)); then shift; fi
  exec "$program" -l 0 -n 3 --proc-type=secondary -- "${service[@]}" "${own[@]}" -- "$@"
}

"$root/scripts/build.sh"
name=${1-}
case $name in
  -h | --help) usage; exit 0 ;;
  --onvm) start_onvm "${@:2}" ;;
  "") die "the NF's name is missing: there are$(built); see $0 --help" ;;
  -*) die "the NF's name comes first, before '$name': see $0 --help" ;;
esac
[[ $name =~ ^[A-Za-z0-9_.-]+$ ]] || die "no NF '$name': there are$(built)"
# A kernel of the user's own runs under a name of the user's own.
if [[ ! -x $build/nfs/$name && " ${*:2} " == *" --kernel"[\ =]* ]]; then
  exec "$build/bin/nf_supervisor" "$build/nfs/gpu_custom" --service "$name" "${@:2}"
fi
[[ -x $build/nfs/$name ]] || die "no NF '$name': there are$(built)"
exec "$build/bin/nf_supervisor" "$build/nfs/$name" "${@:2}"
