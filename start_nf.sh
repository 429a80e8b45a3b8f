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
TXT
}

"$root/scripts/build.sh"
name=${1-}
case $name in
  -h | --help) usage; exit 0 ;;
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
