#!/usr/bin/env bash
# Packs the programs that the figures need, for a machine that has no compiler and no packages.
set -euo pipefail
usage() {
  cat << EOF
Usage: ${0##*/} OUT.tar.gz [BUILD]
  BUILD: the release build (default: build, beside the sources)
There, in a checkout of the same sources:
  tar -xzf OUT.tar.gz && tests/bench/figures/figures.py
EOF
}
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
if [[ ${1:-} == -h || ${1:-} == --help ]]; then usage; exit 0; fi
(($# == 1 || $# == 2)) || { usage >&2; exit 1; }
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
out=$1
build=${2:-$source_dir/build}
programs=(bin/manager bin/gpu_host bin/hbctl bin/hb_doctor nfs/forward nfs/nids nfs/ipsec nfs/router
  bench/ipsec_bench bench/nids_bench)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for program in "${programs[@]}"; do
  [[ -x $build/$program ]] || die "$build/$program is missing: build it first"
  mkdir -p "$folder/build/$(dirname "$program")"
  strip -s -o "$folder/build/$program" "$build/$program"
done
mkdir -p "$folder/build/kernels"
cp "$build"/kernels/*.{cl,h} "$folder/build/kernels/"
cp "$build/versions.json" "$folder/build/"
tar -C "$folder" -czf "$out" build
printf '%s: %s of programs\n' "$out" "$(du -h "$out" | cut -f1)"
