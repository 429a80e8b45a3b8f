#!/usr/bin/env bash
# Replays a capture through rx -> nids (GPU) -> router (CPU) -> tx, and shows what came of it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

capture=$root/tests/data/pcap/zeek-http_cooper-grill-dvwa.pcapng
rules=$root/tests/data/demo.rules
prefix=demo-$$
out=    # the folder for everything that is written
keep=   # not empty: the folder stays
waiter= # hbctl, while it waits for the manager
ready_s=30 # for a program to start
drain_s=60 # for the NFs to start and the capture to pass
stop_s=10  # for what was started to end once asked to

usage() {
  cat <<TXT
Usage: manager.sh --demo
Replays ${capture##*/} through rx -> nids (GPU) -> router (CPU) -> tx; writes
what comes out, the alerts and the statistics to a new folder in ${TMPDIR:-/tmp}.
TXT
}
while (($#)); do case $1 in
  -h | --help) usage; exit 0 ;;
  *) usage >&2; die "--demo takes no option '$1'" ;;
esac; done

# Waits for a process to end; false when it has not in so many seconds. `wait`, unlike a command in
# the foreground, lets a trap run at once.
gone() { # gone PID SECONDS
  timeout "$2" tail --pid="$1" -s 0.1 -f /dev/null >/dev/null 2>&1 &
  wait $!
}

# Stops what is still running of what was started, in that order: the manager, which stops the NFs,
# then what is left. The shell's own list of jobs has no gap that a signal could fall into.
cleanup() {
  local pid
  trap '' INT TERM
  # It would only say that the manager has ended.
  [[ -z $waiter ]] || kill "$waiter" 2>/dev/null || true
  for pid in $(jobs -pr); do
    kill -TERM "$pid" 2>/dev/null || continue
    gone "$pid" "$stop_s" || kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $out || -n $keep ]] || rm -rf "$out"
}
trap cleanup EXIT
trap 'say "interrupted: stopping the demo"; exit 130' INT
trap 'exit 143' TERM

"$root/scripts/build.sh"
hugepages_are_ready || "$root/scripts/setup.sh" --quiet
out=$(mktemp -d "${TMPDIR:-/tmp}/hummingbird-demo.XXXXXX")
say "replaying ${capture##*/} through rx -> nids (GPU) -> router (CPU) -> tx"

declare -A name_of=()
# In a process group of its own: Ctrl-C reaches this script alone, which then stops each once.
start() { # start NAME COMMAND...
  set -m
  "${@:2}" </dev/null >"$out/$1.log" 2>&1 &
  set +m
  pids+=($!)
  name_of[$!]=$1
}
failed() { # failed WHAT: with the last lines of all logs
  keep=1
  tail -n 8 "$out"/*.log >&2
  die "the demo failed: $*; all that was printed is in $out"
}

start manager "$build/bin/manager" --prefix "$prefix" \
  --port "pcap:rx=$capture,tx=$out/out.pcap" --routes "$root/scripts/demo/routes.csv" \
  --mbuf-size 9216 --exit-when-drained --stats "$out/stats.json"
"$build/bin/hbctl" wait-ready --prefix "$prefix" --pid "${pids[0]}" --timeout "$ready_s" &
waiter=$!
wait "$waiter" || failed "the manager did not start"
waiter=
start nids "$build/nfs/nids" --prefix "$prefix" --gpu --rules "$rules" --alerts "$out/alerts.json"
start router "$build/nfs/router" --prefix "$prefix" --route-file "$root/scripts/demo/router.csv"

# All three end by themselves once the capture has passed; the first that fails ends the demo.
timeout "$drain_s" tail --pid=$$ -f /dev/null >/dev/null 2>&1 &
deadline=$!
declare -A running=()
for pid in "${pids[@]}"; do running[$pid]=1; done
while ((${#running[@]})); do
  status=0
  wait -n -p ended "${!running[@]}" "$deadline" || status=$?
  ((ended != deadline)) || failed "the capture has not passed within $drain_s s"
  ((status == 0)) || failed "${name_of[$ended]} ended with status $status"
  unset "running[$ended]"
done

keep=1
echo "Alerts:"
/usr/bin/python3 "$root/scripts/demo/print_alerts.py" "$out/alerts.json" 20
echo
"$build/bin/hbctl" status --file "$out/stats.json"
echo
echo "What came out, alerts, statistics and logs: $out"
