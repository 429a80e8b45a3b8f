#!/usr/bin/env bash
# Builds everything and runs all tests: a release build with every test, then AddressSanitizer with
# UBSan and ThreadSanitizer builds of the unit and kernel tests.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

usage() {
  cat <<TXT
Usage: ${0##*/} [--quick] [-L LABELS]
  --quick     no sanitizer builds
  -L LABELS   only tests with these labels, a regular expression: unit, kernels, model, e2e, fuzz, lint,
              bench
TXT
}
quick=0
labels=.
while (($#)); do case $1 in
  --quick) quick=1; shift ;;
  -L) labels=${2:?-L needs labels}; shift 2 ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; die "unknown option '$1'" ;;
esac; done

"$root/scripts/setup.sh" --quiet
results=()
failed=0

# stage NAME COMMAND...: runs one part of the tests; the others follow even when it fails.
stage() {
  local started=$SECONDS verdict=passed
  "${@:2}" || { verdict=FAILED; failed=1; }
  results+=("$(printf '%-18s %s in %d s' "$1" "$verdict" "$((SECONDS - started))")")
}

# compile DIR PRESET [TARGET]: quiet unless it fails.
compile() {
  local log=$1/test-build.log
  mkdir -p "$1"
  say "building $2, progress is in $log"
  { (cd "$root" && cmake --preset "$2" -B "$1") && cmake --build "$1" --target "${3:-all}"; } \
    >"$log" 2>&1 || { tail -n 60 "$log"; return 1; }
}

run_ctest() { # run_ctest DIR LABELS
  ctest --test-dir "$1" --output-on-failure --no-tests=error -j "$(nproc)" -L "$2"
}

stage "build" compile "$build" release
if ((!failed)); then stage "tests" run_ctest "$build" "$labels"; fi
if ((!quick)); then
  for sanitizer in asan tsan; do
    broken=$failed
    failed=0
    stage "$sanitizer build" compile "$root/build-$sanitizer" "$sanitizer" test_programs
    if ((!failed)); then stage "$sanitizer tests" run_ctest "$root/build-$sanitizer" "unit|kernels"; fi
    failed=$((failed || broken))
  done
fi

echo
echo "Summary:"
printf '  %s\n' "${results[@]}"
if ((failed)); then echo "Some tests failed."; exit 1; fi
echo "All tests passed."
