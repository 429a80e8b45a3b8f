#!/usr/bin/env bash
# Runs a network function, with its options. Builds it first if needed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/scripts/common.sh"

built() { (cd "$build/nfs" && for nf in *; do [[ -f $nf && -x $nf ]] && printf ' %s' "$nf"; done); }
usage() {
  cat <<TXT
Usage: $0 NAME [--restart never|on-failure|always] [--restart-wait MS] [--restart-limit N]
       [--instances N] [--gpu] [--service NAME] [--cores LIST]
       [--eal private|secondary] [--prefix NAME] [NF options]
       $0 NAME --gpu --kernel FILE.cl [--table FILE]
  NAME: one of$(built); with --kernel a name of your own
  $0 NAME --help   lists all options of that NF
or:    $0 --onvm PROGRAM [-r SERVICE] [-t SECONDS] [-l MILLIONS] [-m] [-s] [--restart ...]
       [--instances N] [--service NAME] [--cores LIST] [--prefix NAME] [-- NF options]
  PROGRAM: an OpenNetVM NF that scripts/onvm_build.sh has built; SERVICE: its id, 1 to 31 (default:
  its tag's, or the next one that is free)
or:    $0 --onvm PROGRAM SERVICE [NF options]                   as OpenNetVM's script has it
       $0 --onvm PROGRAM EAL args -- OpenNetVM args -- NF options
       $0 --onvm PROGRAM -F FILE.json [...]
TXT
}

# An OpenNetVM NF has OpenNetVM's command line: EAL's part, its own, and the NF's. What the platform
# adds is taken out of it, wherever it stands before the NF's own: it goes to the supervisor, and to
# the NF by the environment.
start_onvm() {
  (($#)) || die "--onvm needs a program: see $0 --help"
  local program=$1
  shift
  if [[ -d $program ]]; then
    die "'$program' is a folder: build it with scripts/onvm_build.sh, then name the program in its build/"
  fi
  [[ -e $program ]] ||
    die "there is no '$program': build the NF's folder with scripts/onvm_build.sh first"
  [[ -f $program && -x $program ]] ||
    die "'$program' is not a program: name what scripts/onvm_build.sh has built"
  [[ $program == */* ]] || program=./$program

  local word n_separators=0
  for word; do if [[ $word == -- ]]; then ((++n_separators)); fi; done
  # Separators of the command line that the user has given: the NF's own options are behind the last.
  local n_left=$((n_separators >= 2 ? 2 : n_separators))
  local -a supervisor=() words=()
  local service=(-r auto) is_whole=$((n_separators >= 2))
  if [[ ${1-} =~ ^[0-9]+$ ]]; then
    service=(-r "$1") n_left=1 is_whole=0
    shift
    set -- -- "$@"
  fi
  while (($#)); do
    case $1 in
      --restart | --restart-wait | --restart-limit | --instances | --prefix | --service | --cores)
        (($# > 1)) || die "'$1' needs a value" ;;&
      --restart | --restart-wait | --restart-limit | --instances) supervisor+=("$1" "$2"); shift ;;
      --prefix) export HB_PREFIX=$2; shift ;;
      --service) export HB_SERVICE=$2; shift ;;
      --cores) export HB_CORES=$2; shift ;;
      --restart=* | --restart-wait=* | --restart-limit=* | --instances=*) supervisor+=("$1") ;;
      --prefix=*) export HB_PREFIX=${1#*=} ;;
      --service=*) export HB_SERVICE=${1#*=} ;;
      --cores=*) export HB_CORES=${1#*=} ;;
      -h | --help) usage; exit 0 ;;
      --)
        if ((--n_left == 0)); then break; fi
        words+=("$1") ;;
      *)
        if [[ $1 == -F ]]; then is_whole=1; fi
        if [[ $1 == -r* ]]; then service=(); fi
        words+=("$1") ;;
    esac
    shift
  done
  supervisor=("$program" "${supervisor[@]}" --prefix "${HB_PREFIX:-hb}")
  if ((!is_whole)); then
    if (($#)); then shift; fi
    words=(-l 0 -n 3 --proc-type=secondary -- "${service[@]}" "${words[@]}" --)
  fi
  exec "$build/bin/nf_supervisor" "${supervisor[@]}" -- "${words[@]}" "$@"
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
if [[ ! -x $build/nfs/$name && " ${*:2} " == *" --"@(kernel|table)[\ =]* ]]; then
  [[ " ${*:2} " == *" --gpu "* ]] || die "'$name' has a kernel of your own, which needs --gpu"
  [[ " ${*:2} " == *" --kernel"[\ =]* ]] || die "'$name' needs its kernel: --kernel FILE.cl"
  exec "$build/bin/nf_supervisor" "$build/nfs/gpu_custom" --service "$name" "${@:2}"
fi
[[ -x $build/nfs/$name ]] || die "no NF '$name': there are$(built)"
exec "$build/bin/nf_supervisor" "$build/nfs/$name" "${@:2}"
