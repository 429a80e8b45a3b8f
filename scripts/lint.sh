#!/usr/bin/env bash
# Checks scripts (shellcheck) or the format of C++ sources (clang-format 14, Debian 12's: other
# versions break lines elsewhere). Exit status 77: the tool is not installed, nothing was checked.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

usage() { echo "Usage: ${0##*/} scripts | format"; }
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
    find kernels nf_lib manager gpu_host nfs tools tests \( -name '*.cc' -o -name '*.h' \) -print0 |
      xargs -0 -r clang-format --dry-run -Werror
    ;;
  -h | --help) usage ;;
  *) usage >&2; die "unknown check '${1-}'" ;;
esac
