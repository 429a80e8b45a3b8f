#!/usr/bin/env bash
# Runs the manager, with its options; --demo instead replays a capture through a chain of two NFs.
# Installs, builds and reserves what is missing first.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/scripts/common.sh"

if [[ ${1-} == --demo ]]; then exec "$root/scripts/demo.sh" "${@:2}"; fi
"$root/scripts/build.sh"
if asks_for_help "$@"; then
  echo "$0 --demo: replays a capture through rx -> nids (GPU) -> router (CPU) -> tx, and ends"
  echo "$0 [OPTIONS]: runs the manager with these"
  echo
elif ! hugepages_are_ready; then
  "$root/scripts/setup.sh" --quiet
fi
exec "$build/bin/manager" "$@"
