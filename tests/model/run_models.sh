#!/usr/bin/env bash
# Verifies the packet-ownership protocol with SPIN: every model exhaustively, then every seeded
# fault, which must be found. docs/ownership.md explains the protocol, the models what they prove.
# Exit status: 0 all as expected, 1 not, 77 SPIN or gcc is not installed.
set -euo pipefail
usage() {
  cat <<USAGE
Usage: ${0##*/} [--jobs N] [--only MODEL]
  --jobs N      verifications at a time, each below $memory_mib MiB (default 2)
  --only MODEL  ring_ledger, gpu_slots, bounded_launch, versioned_drain or slice_change (default: all)
USAGE
}
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

memory_mib=900
jobs=2
only=
while (($#)); do case $1 in
  --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
  --only) only=${2:?--only needs a model}; shift 2 ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; die "unknown option '$1'" ;;
esac; done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "--jobs '$jobs' is not a positive number"
models=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
[[ -z $only || -f $models/$only.pml ]] || die "there is no model '$only' in $models"
for tool in spin gcc; do
  command -v "$tool" >/dev/null && continue
  echo "${0##*/}: skipped: there is no $tool; apt-get install $tool" >&2
  exit 77
done

# Background jobs get process groups of their own, so that one signal ends a job and its verifier.
set -m
work=$(mktemp -d -t run_models.XXXXXX)
cleanup() {
  local pid
  for pid in $(jobs -pr); do kill -- "-$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Builds and runs one verifier in the current directory; its report is pan.log.
verify() {
  local model=$1 optimise=$3 parameters flags=(-DSAFETY) options=(-m100000)
  read -ra parameters <<<"$2"
  if [[ $model == bounded_launch ]]; then  # proves that something happens, not that nothing does
    flags=()
    options=(-a -f -m1000000)
  fi
  cp "$models"/*.pml "$models"/*.inc .
  # -DCOLLAPSE compresses states without loss. -w: what gcc thinks of generated code is no news.
  spin -a "${parameters[@]}" "$model.pml" >build.log 2>&1 || return 1
  flags+=("$optimise" -w -DCOLLAPSE "-DMEMLIM=$memory_mib")
  gcc "${flags[@]}" -o pan pan.c >>build.log 2>&1 || return 1
  ./pan "${options[@]}" >pan.log 2>&1 || true  # what it found is in its report, not in its status
}

# True if pan.log tells of an exhaustive search that ran to its end and looked for what it should.
is_complete() {
  local model=$1 line
  local wanted=('invalid end states[[:space:]]*+' 'assertion violations[[:space:]]*+')
  local unwanted='not completed|depth too small|out of memory|MEMLIM|truncated|^pan:1:|error:'
  if [[ $model == bounded_launch ]]; then
    wanted=('acceptance *cycles[[:space:]]*+ (fairness enabled)')
    wanted+=('never claim[[:space:]]*+ (every_round_completes)')
  fi
  for line in '^Full statespace search for:' 'errors: 0$' "${wanted[@]}"; do
    grep -q -- "$line" pan.log || return 1
  done
  ! grep -qiE "$unwanted" pan.log
}

# prove MODEL DEFINES: no error in the whole state space.
prove() {
  local model=$1 defines=$2 states
  if verify "$model" "$defines" -O2 && is_complete "$model"; then
    states=$(awk '/states, stored/ { print $1 }' pan.log)
    printf 'ok    %-14s %12s states  %s\n' "$model" "$states" "$defines"
    return 0
  fi
  printf 'WRONG %-14s not proven: %s\n' "$model" "$defines"
  tail -n +1 build.log pan.log 2>/dev/null | head -n 40
  return 1
}

# find MODEL DEFINES PATTERN: the fault is found, and for its own reason.
find_fault() {
  local model=$1 defines=$2 pattern=$3
  if verify "$model" "$defines" -O0 && grep -q 'errors: 1$' pan.log &&
    grep -qE "^pan:1: $pattern" pan.log; then
    printf 'ok    %-14s %19s  %s\n' "$model" 'found' "$defines"
    return 0
  fi
  printf 'WRONG %-14s not found as "%s": %s\n' "$model" "$pattern" "$defines"
  tail -n +1 build.log pan.log 2>/dev/null | head -n 40
  return 1
}

n_cases=0
# start FUNCTION MODEL ARGUMENT...: in a directory of its own, as soon as a job is free.
start() {
  [[ -z $only || $2 == "$only" ]] || return 0
  while (($(jobs -pr | wc -l) >= jobs)); do wait -n || true; done
  n_cases=$((n_cases + 1))
  mkdir "$work/$n_cases"
  (
    cd "$work/$n_cases"
    if "$@"; then touch "$work/$n_cases.as_expected"; fi
    rm -rf "${work:?}/$n_cases"
  ) &
}

began=$SECONDS

# --- what must hold -------------------------------------------------------------------------------
start prove ring_ledger '-DTWO_SOURCES -DN_HELD=1 -DN_FILL=1 -DN_RX=2'
start prove gpu_slots '-DN_WG=1 -DTWO_SOURCES'
start prove gpu_slots '-DN_WG=2'
start prove gpu_slots '-DN_WG=1 -DN_RX=4'
start prove ring_ledger '-DN_HELD=2 -DN_CRASH=2'
start prove ring_ledger '-DTWO_SOURCES -DN_HELD=1 -DN_PKT=2'
start prove ring_ledger '-DTWO_SOURCES -DMAX_BURST=3 -DFIRST_INDEX=0'
start prove ring_ledger '-DTWO_SOURCES'
start prove ring_ledger '-DTWO_SOURCES -DN_HELD=1 -DN_FILL=1 -DN_RX=1 -DN_CRASH=2'
start prove ring_ledger '-DN_FILL=2 -DN_HELD=1 -DN_RX=1'
start prove ring_ledger '-DIDEMPOTENT -DTWO_SOURCES -DN_HELD=1 -DN_CRASH=2 -DN_RX=2'
start prove gpu_slots '-DN_WG=1 -DN_CRASH=2'
start prove gpu_slots '-DN_WG=2 -DTWO_SOURCES -DN_RX=2'
start prove gpu_slots '-DN_WG=1 -DDRAIN_BURST=1'
start prove versioned_drain ''
start prove bounded_launch ''
start prove bounded_launch '-DM_ROUNDS=2 -DN_IDLE=2'
start prove slice_change ''
start prove slice_change '-DN_CHANGES=5 -DN_ROUNDS=4'

# --- what must be found ---------------------------------------------------------------------------
# Runs with a crash do reach the audit at the end: without that the proofs would be empty.
start find_fault ring_ledger '-DPROBE_END -DN_HELD=1' 'assertion violated \(crashes_left>0\)'
start find_fault gpu_slots '-DPROBE_END -DN_WG=1' 'assertion violated \(crashes_left>0\)'

start find_fault versioned_drain -DPROBE_END 'assertion violated \(received<3\)'

# A packet is judged by a table that is not of its version, or overtakes another of its flow.
for fault in ACK_EARLY NO_ACK NO_HOLD NEW_FIRST OLD_STAMP NO_GRACE HELD_NOW ONE_VERSION; do
  start find_fault versioned_drain "-DBREAK_$fault" 'assertion violated .*(last_out|table)'
done

# Recovery decides wrongly: a packet is lost, or given away twice.
wrong_decision='assertion violated .*in_hand'
for defines in '-DBREAK_ONE_OPEN_BURST -DTWO_SOURCES' -DBREAK_RECORD_AFTER_PUBLISH \
  -DBREAK_ONE_COPY -DBREAK_DONE_FORGOTTEN '-DBREAK_DONE_FORGOTTEN -DN_HELD=2' \
  '-DBREAK_HOLD_FROM_FILL -DN_HELD=1 -DN_FILL=1 -DN_RX=1' \
  '-DBREAK_RELEASE_BEFORE_COMMIT -DN_HELD=1' '-DBREAK_RELEASE_IN_OPEN_BURST -DN_HELD=1' \
  '-DBREAK_CLEAR_BEFORE_PUBLISH -DN_HELD=1' '-DBREAK_SLOTS_BEFORE_BUMP -DN_HELD=2' \
  '-DBREAK_PAGE_KEPT -DN_HELD=1 -DN_CRASH=2'; do
  start find_fault ring_ledger "$defines" "$wrong_decision"
done
for fault in RECORD_AFTER_PUBLISH DONE_FORGOTTEN FILLED_AFTER_COMMIT PAD_BEFORE_COMMIT; do
  start find_fault gpu_slots "-DBREAK_$fault -DN_WG=1" "$wrong_decision"
done

# A context publishes, or takes from a ring, what is not there.
start find_fault ring_ledger -DBREAK_FINISH_FEWER 'assertion violated .*place\[slot'
not_its_own='assertion violated .*place\[n\]'
start find_fault ring_ledger -DBREAK_PROD_HEAD_KEPT "$not_its_own"
for fault in REFILL_COMPLETED QUEUE_NOT_RESET; do
  start find_fault gpu_slots "-DBREAK_$fault -DN_WG=1" "$not_its_own"
done

# The device touches a packet that is not in its queue.
for fault in PAD_NOT_ZEROED PUBLISHED_BEFORE_FILLED DRAIN_EARLY RECOVER_EARLY; do
  start find_fault gpu_slots "-DBREAK_$fault -DN_WG=1" 'assertion violated .*place\[p\]==\(2\+w\)'
done

# A flow's packets leave in another order than they came.
for fault in TWO_OPEN_ROUNDS DRAIN_ORDER; do
  start find_fault gpu_slots "-DBREAK_$fault -DN_WG=2" 'assertion violated .*last_out'
done

# A round is answered by another NF, or two launches share a work-group, or nobody runs it.
start find_fault slice_change -DBREAK_LEAVE_UNDRAINED '(assertion violated .*filled_for|invalid end state)'
start find_fault slice_change -DBREAK_JOIN_EARLY 'assertion violated .*in_launch'
# A round is said to be judged by another version than it was.
for fault in BOUNDARY_LATE NO_WAIT; do
  start find_fault slice_change "-DBREAK_$fault" 'assertion violated .*judged_by'
done

# A published round is never completed.
for fault in LEAVING_FIRST NO_LEAVING CLEAR_LATE FROM_PUBLISHED SLEEP_UNSEEN RING_FIRST; do
  start find_fault bounded_launch "-DBREAK_$fault" 'acceptance cycle'
done

wait
as_expected=("$work"/*.as_expected)
[[ -e ${as_expected[0]} ]] || as_expected=()
failed=$((n_cases - ${#as_expected[@]}))
printf '%d verifications in %d s, %d with an unexpected result\n' \
  "$n_cases" $((SECONDS - began)) "$failed"
((failed == 0))
