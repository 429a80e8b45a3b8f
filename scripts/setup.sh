#!/usr/bin/env bash
# Installs the Debian packages that Hummingbird needs, reserves hugepages and mounts hugetlbfs.
# Safe to run again: does only what is missing, and says what it did.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

build_packages=(
  build-essential g++ cmake ninja-build pkg-config ccache git
  libdpdk-dev ocl-icd-opencl-dev opencl-headers pocl-opencl-icd libnuma-dev libboost-dev
  libcjson-dev libspdlog-dev libgtest-dev libhyperscan-dev libpcre2-dev libpcap-dev libcli11-dev
  nlohmann-json3-dev libbsd-dev zlib1g-dev libipsec-mb-dev)
test_packages=(spin python3-pytest python3-scapy iproute2 shellcheck clang-14 libclang-rt-14-dev
  libssl-dev tshark)
dev_packages=(clang-format clang-tidy dpdk dpdk-dev tcpdump python3-matplotlib)

usage() {
  cat <<TXT
Usage: ${0##*/} [--pages N] [--packages-only] [--dev] [--quiet]
  --pages N         2 MiB hugepages to have in all (default $default_pages)
  --packages-only   leave hugepages as they are
  --dev             also install what only developers use: ${dev_packages[*]}
  --quiet           say nothing of what was there already
TXT
}

args=("$@")
pages=$default_pages
packages_only=0
quiet=0
packages=("${build_packages[@]}" "${test_packages[@]}")
while (($#)); do case $1 in
  --pages) pages=${2:?--pages needs a number}; shift 2 ;;
  --packages-only) packages_only=1; shift ;;
  --dev) packages+=("${dev_packages[@]}"); shift ;;
  --quiet) quiet=1; shift ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; die "unknown option '$1'" ;;
esac; done
[[ $pages =~ ^[0-9]{1,9}$ ]] || die "--pages '$pages' is not a number"

# was_there TEXT: says what needed no doing.
was_there() { ((quiet)) || say "$@"; }

# need_root DOING: ends here, with the command to type, unless root runs this.
need_root() { ((EUID == 0)) || die "root is needed to $1: run 'sudo $root/scripts/setup.sh${args[*]:+ ${args[*]}}'"; }

# --- packages -----------------------------------------------------------------------------------

missing_packages() {
  local -A installed=()
  local status name
  while read -r status name; do
    [[ $status == installed ]] && installed[$name]=1
  done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
  for name in "${packages[@]}"; do [[ -n ${installed[$name]-} ]] || printf '%s\n' "$name"; done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is no Debian system: install what these Debian packages hold, then build with" \
      "'cmake --preset release && cmake --build build': ${packages[*]}"
  fi
  local -a missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    was_there "packages: all ${#packages[@]} are installed"
    return
  fi
  need_root "install ${missing[*]}"
  say "packages: installing ${missing[*]}"
  local log
  log=$(mktemp "${TMPDIR:-/tmp}/hummingbird-setup.XXXXXX")
  export DEBIAN_FRONTEND=noninteractive
  local -a apt=(apt-get -q -y -o DPkg::Lock::Timeout=120)
  # A machine that was never updated knows no packages; one that was needs no update now.
  if ! "${apt[@]}" install --no-install-recommends "${missing[@]}" >"$log" 2>&1 </dev/null; then
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } \
      >>"$log" 2>&1 </dev/null || {
      tail -n 15 "$log" >&2
      die "apt-get can't install ${missing[*]}: see above (all of it: $log), then run this again"
    }
  fi
  rm -f "$log"
  say "packages: installed ${#missing[@]}"
}

# --- hugepages ----------------------------------------------------------------------------------

reserve_pages() {
  [[ -e $huge_2m ]] || die "this kernel has no 2 MiB hugepages: boot one built with CONFIG_HUGETLBFS"
  local before
  before=$(n_pages "$huge_2m")
  if ((before >= pages)); then
    was_there "hugepages: $before of 2 MiB are reserved, $pages wanted"
    return
  fi
  need_root "reserve hugepages"
  [[ -w $huge_2m ]] || die "'$huge_2m' can't be written: in a container, reserve the pages on the host"
  # What can't be had is not tried: taking all memory for it would hurt whatever else runs here.
  local needed_mib=$(((pages - before) * 2)) free_mib
  free_mib=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
  ((needed_mib < free_mib)) ||
    die "$pages hugepages need $needed_mib MiB more, $free_mib MiB are free: free some memory, then" \
      "run this again, or ask for fewer with --pages"
  echo "$pages" >"$huge_2m" || true
  if (($(n_pages "$huge_2m") < pages)); then
    # Free memory in pieces smaller than 2 MiB is no use; caches and fragmentation can be undone.
    sync
    { echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory; } 2>/dev/null || true
    echo "$pages" >"$huge_2m" || true
  fi
  local after
  after=$(n_pages "$huge_2m")
  if ((after < pages)); then
    echo "$before" >"$huge_2m" || true
    die "the kernel finds only $after hugepages of 2 MiB, $pages are wanted: free some memory, or" \
      "reboot, as it is too fragmented; then run this again"
  fi
  say "hugepages: reserved $after of 2 MiB ($before before)"
}

mount_hugetlbfs() {
  if hugetlbfs_is_mounted; then
    was_there "hugepages: hugetlbfs is mounted"
    return
  fi
  need_root "mount hugetlbfs"
  mkdir -p /dev/hugepages
  mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages ||
    die "hugetlbfs can't be mounted at /dev/hugepages: in a container, start it with that mount"
  say "hugepages: mounted hugetlbfs at /dev/hugepages"
}

install_packages
((packages_only)) || { reserve_pages; mount_hugetlbfs; }
