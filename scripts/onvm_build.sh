#!/usr/bin/env bash
# Builds a folder with an OpenNetVM NF, sources as they are, and leaves the program in its build/.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"

usage() {
  cat <<TXT
Usage: ${0##*/} [--output DIR] FOLDER [-- COMPILER FLAGS]
  FOLDER        has a Makefile with APP and SRCS-y (or SRCS), as OpenNetVM's NFs do; without one,
                all its .c (or .cc, .cpp) files make a program of the folder's name
  --output DIR  where the program goes (default: FOLDER/build)
Start the program with: ./start_nf.sh --onvm FOLDER/build/NAME -r SERVICE -- NF ARGUMENTS
TXT
}

folder='' output=''
while (($#)); do case $1 in
  -h | --help) usage; exit 0 ;;
  --output) output=${2:?--output needs a folder}; shift 2 ;;
  --) shift; break ;;
  -*) usage >&2; die "unknown option '$1'" ;;
  *) [[ -z $folder ]] || die "one folder at a time: '$folder' and '$1' were given"
    folder=$1; shift ;;
esac; done
flags=("$@")
[[ -n $folder ]] || { usage >&2; die "the NF's folder is missing"; }
[[ -d $folder ]] || die "'$folder' is not a folder"
folder=$(cd "$folder" && pwd)
output=${output:-$folder/build}

"$root/scripts/build.sh"
export PKG_CONFIG_PATH=$build/onvm${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}

# What the Makefile says, by make itself: its includes of DPDK's old build system are answered with
# empty files, so that only its variables count.
app=${folder##*/}
sources=() more=()
if [[ -f $folder/Makefile ]]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/hummingbird-onvm.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/sdk/mk" "$work/home/onvm/lib" "$work/home/onvm/onvm_nflib" "$work/home/examples"
  touch "$work/sdk/mk/"rte.{vars,extapp,extvars,app,extsubdir,subdir}.mk
  cat >"$work/ask.mk" <<'MK'
include Makefile
$(info APP=$(APP))
$(info SRCS=$(SRCS-y) $(SRCS))
$(info CFLAGS=$(CFLAGS) $(CXXFLAGS))
$(info LDLIBS=$(LDFLAGS) $(LDLIBS) $(LIBS))
.PHONY: hb_asked
hb_asked: ;
MK
  answer=$(cd "$folder" && make -s -f "$work/ask.mk" hb_asked RTE_SDK="$work/sdk" \
    RTE_TARGET=x86_64-native-linuxapp-gcc ONVM_HOME="$work/home" 2>"$work/errors") ||
    die "'$folder/Makefile' can't be read by make: $(head -n 1 "$work/errors")"
  words() { sed -n "s/^$1=//p" <<<"$answer" | tail -n 1; }
  named=$(words APP)
  app=${named:-$app}
  read -ra sources <<<"$(words SRCS)"
  read -ra asked <<<"$(words CFLAGS) $(words LDLIBS)"
  # Include paths of its own, definitions and libraries count; OpenNetVM's and DPDK's are answered.
  for word in "${asked[@]}"; do case $word in
    *"$work"* | -lonvm* | -lrte_* | -L*"$work"*) ;;
    -D* | -l* | -std=*) more+=("$word") ;;
    -I/* | -L/*) more+=("$word") ;;
    -I* | -L*) more+=("${word:0:2}$folder/${word:2}") ;;
  esac; done
fi
if ((${#sources[@]} == 0)); then
  mapfile -t sources < <(cd "$folder" && find . -maxdepth 1 \( -name '*.c' -o -name '*.cc' \
    -o -name '*.cpp' \) -printf '%P\n' | sort)
fi
((${#sources[@]})) || die "'$folder' has no sources: no SRCS-y in its Makefile, no .c file"
for source in "${sources[@]}"; do
  [[ -f $folder/$source ]] || die "'$folder/Makefile' names '$source', which is not there"
done

cc=(gcc -std=gnu11)
for source in "${sources[@]}"; do [[ $source == *.c ]] || cc=(g++); done
read -ra onvm_flags <<<"$(pkg-config --cflags hummingbird-onvm)"
read -ra onvm_libs <<<"$(pkg-config --libs hummingbird-onvm)"
mkdir -p "$output"
paths=("${sources[@]/#/$folder/}")
"${cc[@]}" -O3 -g -march=x86-64-v2 -I"$folder" "${onvm_flags[@]}" "${more[@]}" "${flags[@]}" \
  -o "$output/$app" "${paths[@]}" "${onvm_libs[@]}" "${more[@]}" -lm -lpthread ||
  die "'$app' does not compile: see above"
say "built $output/$app"
