#!/usr/bin/env bash
# Checks scripts (shellcheck), the format of C++ sources (clang-format 14, Debian 12's: other versions
# break lines elsewhere), or that each header of onvm_compat compiles alone as C and as C++. Exit status 77: the tool is not installed, nothing was checked.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

usage() { echo "Usage: ${0##*/} scripts | format | onvm-headers"; }
needs() { command -v "$1" >/dev/null || { say "$1 is not installed: not checked"; exit 77; }; }

cd "$root"
case ${1-} in
  scripts)
    needs shellcheck
    mapfile -t files < <(grep -rlIE '^#!/usr/bin/env bash|^#!/bin/(ba)?sh|^# shellcheck shell=' \
      --exclude-dir=data manager.sh start_nf.sh hbctl .ci scripts tests)
    shellcheck -x "${files[@]}"
    ;;
  format)
    needs clang-format
    [[ $(clang-format --version) == *" version 14."* ]] || { say "not clang-format 14"; exit 77; }
    find kernels nf_lib manager gpu_host nfs onvm_compat tools tests \( -name '*.cc' -o -name '*.h' \) -print0 |
      xargs -0 -r clang-format --dry-run -Werror
    ;;
  onvm-headers)
    # Each alone, as C and as C++; the system's and DPDK's headers are not what is checked.
    include=$root/onvm_compat/include
    read -ra dpdk <<<"$(pkg-config --cflags libdpdk | sed 's/-I */-isystem /g')"
    for header in "$include"/*.h; do
      for compiler in "gcc -xc -std=gnu11" "g++ -xc++ -std=c++11"; do
        read -ra command <<<"$compiler"
        open='' close=''
        [[ ${command[0]} == gcc ]] || { open='extern "C" {'; close='}'; }
        printf '%s\n#include "%s"\n%s\n' "$open" "$header" "$close" |
          "${command[@]}" -fsyntax-only -Wall -Wextra -pedantic -Werror "${dpdk[@]}" \
            -include "$include/onvm_compat_shim.h" -I"$include" -
      done
    done
    ;;
  -h | --help) usage ;;
  *) usage >&2; die "unknown check '${1-}'" ;;
esac
