#!/usr/bin/env bash
# Builds a folder with an OpenNetVM NF, sources as they are, and leaves the program in its build/.
set -euo pipefail
shopt -s extglob
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

app=${folder##*/}
sources=() more=() sub_folders=() compiler_of_c='' standard_of_c=''
work=$(mktemp -d "${TMPDIR:-/tmp}/hummingbird-onvm.XXXXXX")
trap 'rm -rf "$work"' EXIT

# What the Makefile says, by make itself: its includes of DPDK's old build system are answered with
# what Makefiles ask of it, so that only its own variables count.
answer_dpdk() {
  local name
  mkdir -p "$work/sdk/mk" "$work/home/onvm/lib" "$work/home/onvm/onvm_nflib" "$work/home/examples"
  for name in {,ext}{vars,app,lib,obj,shared,subdir,hostapp} install; do
    : >"$work/sdk/mk/rte.$name.mk"
  done
  cat >"$work/sdk/mk/rte.vars.mk" <<'MK'
SRCDIR := $(CURDIR)
RTE_SRCDIR := $(CURDIR)
RTE_OUTPUT := $(CURDIR)/build
RTE_ARCH := x86_64
RTE_TOOLCHAIN := gcc
CONFIG_RTE_EXEC_ENV := "linuxapp"
CONFIG_RTE_EXEC_ENV_LINUX := y
CONFIG_RTE_EXEC_ENV_LINUXAPP := y
CONFIG_RTE_LIBRTE_PMD_PCAP := $(if $(wildcard /usr/include/pcap/pcap.h),y,n)
MK
  cp "$work/sdk/mk/rte.vars.mk" "$work/sdk/mk/rte.extvars.mk"
}
# A path of the Makefile's that is there, within the NF's folder: wherever that lies, it is its own,
# unless it is a copy of OpenNetVM.
is_own() {
  local path=${1#-@(I|L|isystem|iquote|idirafter)}
  [[ $path != "$1" && $path == /* && -d $path && ! -e $path/onvm_nflib.h &&
    "$(realpath "$path")/" == "$(realpath "$folder")"/* ]]
}
if [[ -f $folder/Makefile ]]; then
  answer_dpdk
  cat >"$work/ask.mk" <<'MK'
include Makefile
# Where make would find a source.
hb_places = $(subst :, ,$(VPATH))
hb_found = $(firstword $(wildcard $(1) $(addsuffix /$(1),$(hb_places))) $(1))
$(info APP=$(APP))
$(info SRCS=$(foreach hb_s,$(sort $(SRCS-y) $(SRCS)),$(call hb_found,$(hb_s))))
$(info CFLAGS=$(CFLAGS) $(CPPFLAGS) $(CXXFLAGS))
# A compiler that was named, not make's own or the environment's.
$(info CC=$(if $(filter file override,$(origin CC)),$(CC)))
$(info CSTD=$(filter -std=c++% -std=gnu++%,$(CFLAGS)))
$(info LDLIBS=$(LDFLAGS) $(LDLIBS) $(LIBS))
$(info DIRS=$(DIRS-y) $(DIRS))
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
  read -ra sub_folders <<<"$(words DIRS)"
  compiler_of_c=$(words CC) standard_of_c=$(words CSTD)
  # Quotes and backslashes as a shell would read them: make hands its commands to one.
  xargs -r printf '%s\0' <<<"$(words CFLAGS) $(words LDLIBS)" >"$work/asked" 2>"$work/errors" ||
    die "the flags in '$folder/Makefile' can't be read: $(head -n 1 "$work/errors")"
  mapfile -d '' -t asked <"$work/asked"
  # What is its own counts: definitions, include paths, libraries, objects, the language's options.
  # OpenNetVM's and DPDK's are answered by hummingbird-onvm.pc; what it says of warnings, optimisation
  # and the processor as a whole is for the compiler and the machine that it was written for. What it
  # says of single instructions (-maes) its sources need.
  for ((i = 0; i < ${#asked[@]}; ++i)); do
    word=${asked[i]}
    case $word in
      -[DUILl] | -isystem | -iquote | -idirafter | -include | -imacros)
        word+=${asked[++i]-} ;;  # one word is as good
    esac
    if is_own "$word"; then
      more+=("$word")
      continue
    fi
    case $word in
      *"$work"* | -lonvm* | -lrte_* | */libonvm*.a | -[IL]*/onvm/* | \
        -isystem*/onvm/* | -iquote*/onvm/* | -idirafter*/onvm/*) ;;
      -march=* | -mtune=* | -mcpu=*) ;;
      -m[a-z]*) more+=("$word") ;;
      -D* | -U* | -l* | -std=* | -f* | -pthread | -Wl,*) more+=("$word") ;;
      -I/* | -L/*) more+=("$word") ;;
      -I* | -L*) more+=("${word:0:2}$folder/${word:2}") ;;
      -isystem* | -iquote* | -idirafter* | -include* | -imacros*)
        option=${word%"${word#-@(isystem|iquote|idirafter|include|imacros)}"}
        path=${word#"$option"}
        if [[ $path != /* && -e $folder/$path ]]; then path=$folder/$path; fi
        more+=("$option$path") ;;
      /*.a | /*.o | /*.so) more+=("$word") ;;
      *.a | *.o | *.so) more+=("$folder/$word") ;;
    esac
  done
fi
if ((${#sources[@]} == 0)); then
  mapfile -t sources < <(cd "$folder" && find . -maxdepth 1 \( -name '*.c' -o -name '*.cc' \
    -o -name '*.cpp' \) -printf '%P\n' | sort)
fi
((${#sources[@]} || !${#sub_folders[@]})) ||
  die "'$folder' has no NF of its own; build one of its sub-folders: ${sub_folders[*]}"
((${#sources[@]})) || die "'$folder' has no sources: no SRCS-y in its Makefile, no .c file"
read -ra onvm_flags <<<"$(pkg-config --cflags hummingbird-onvm)"
read -ra onvm_libs <<<"$(pkg-config --libs hummingbird-onvm)"
for_c=() for_cxx=() for_linker=()
for word in "${more[@]}"; do case $word in
  -std=*++*) for_cxx+=("$word") ;;
  -std=*) for_c+=("$word") ;;
  -l* | -L* | -Wl,* | *.a | *.o | *.so) for_linker+=("$word") ;;
  *) for_c+=("$word"); for_cxx+=("$word") ;;
esac; done
# Sources named .c may be C++: then their own Makefile says so.
c_is_cxx=0
if [[ $compiler_of_c == *++* ]]; then
  c_is_cxx=1
elif [[ -n $standard_of_c && " ${sources[*]} " != *.@(cc|cpp|cxx|C)" "* ]]; then
  c_is_cxx=1
fi
linker=gcc
objects=()
for source in "${sources[@]}"; do
  path=$folder/$source
  if [[ $source == /* ]]; then path=$source; fi
  [[ -f $path ]] || die "'$folder/Makefile' names '$source', which is not there"
  if [[ $source == *.c ]] && ((c_is_cxx)); then
    compiler=(g++ "${for_cxx[@]}" -x c++)
    linker=g++
  elif [[ $source == *.c ]]; then
    compiler=(gcc -std=gnu11 "${for_c[@]}")
  else
    compiler=(g++ "${for_cxx[@]}")
    linker=g++
  fi
  objects+=("$work/${#objects[@]}.o")
  "${compiler[@]}" -O3 -g -march=x86-64-v2 -I"$folder" "${onvm_flags[@]}" "${flags[@]}" \
    -c -o "${objects[-1]}" "$path" || die "'$path' does not compile: see above"
done
mkdir -p "$output"
"$linker" -o "$output/$app" "${objects[@]}" "${onvm_libs[@]}" "${for_linker[@]}" "${flags[@]}" -lm -lpthread ||
  die "'$app' can't be linked: see above"
say "built $output/$app"
