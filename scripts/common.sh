# shellcheck shell=bash
# What the scripts share; to be sourced. Nothing here prints to stdout: it belongs to the programs.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Where the programs are built ($HB_BUILD, or build/), and how few 2 MiB hugepages the manager starts with.
export build=${HB_BUILD:-$root/build}
export default_pages=512

say() { printf 'hummingbird: %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

huge_2m=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
huge_1g=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages

# n_pages FILE: hugepages that the kernel has reserved; 0 where it knows none of that size.
n_pages() { if [[ -r $1 ]]; then printf '%s' "$(<"$1")"; else printf 0; fi; }

hugetlbfs_is_mounted() {
  local fs
  while read -r _ _ fs _; do [[ $fs == hugetlbfs ]] && return 0; done </proc/mounts
  return 1
}

# Pages of 1 GiB are nobody's by accident: who reserved some wants the manager to use them.
hugepages_are_ready() {
  hugetlbfs_is_mounted &&
    (($(n_pages "$huge_2m") >= default_pages || $(n_pages "$huge_1g") > 0))
}

# asks_for_help ARG...: true when one of them does.
asks_for_help() {
  local arg
  for arg; do [[ $arg == -h || $arg == --help ]] && return 0; done
  return 1
}
