#!/usr/bin/env bash
# Builds the programs (release) where a source is newer than the last build; silent when none is.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

usage() { echo "Usage: ${0##*/}   builds manager, gpu_host, hbctl and all NFs into build/"; }
while (($#)); do case $1 in
  -h | --help) usage; exit 0 ;;
  *) usage >&2; die "unknown option '$1'" ;;
esac; done

folders=(kernels nf_lib manager gpu_host nfs tools)
stamp=$build/.programs-built

# Folders count too: one is newer when a file in it was added or removed.
up_to_date() {
  [[ -e $stamp && -x $build/bin/manager && -x $build/bin/gpu_host && -x $build/bin/hbctl &&
    -x $build/bin/nf_supervisor ]] &&
    [[ -z $(cd "$root" && find CMakeLists.txt CMakePresets.json cmake "${folders[@]}" \
      -newer "$stamp" -print -quit) ]]
}
up_to_date && exit 0

"$root/scripts/setup.sh" --packages-only --quiet
mkdir -p "$build"
exec 9>"$build/.build-lock"
if ! flock -n 9; then
  say "waiting for another build to end"
  flock 9
  up_to_date && exit 0
fi

log=$build/build.log
started=$SECONDS
say "building, which takes some minutes the first time; progress is in $log"
# Taken before the build: what is saved meanwhile is newer, and built the next time.
touch "$stamp.new"
failed() {
  # The errors without the command lines, which are long.
  grep -E -A 5 'error|Error|undefined' "$log" | grep -vE '^(/usr/bin/|: &&)' | head -n 40 >&2 ||
    tail -n 20 "$log" >&2
  die "the build failed: see above, or all of it in $log"
}
if [[ ! -e $build/build.ninja ]]; then
  (cd "$root" && cmake --preset release -B "$build") >"$log" 2>&1 || failed
fi
cmake --build "$build" --target "${folders[@]/%//all}" >"$log" 2>&1 9>&- || failed
mv "$stamp.new" "$stamp"
say "built in $((SECONDS - started)) s"
