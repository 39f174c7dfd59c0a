#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prints the root of a CUDA toolkit: the person's own where its version serves, else the compiler of Debian's CUDA
# packages, fetched once into .cache/cuda; nothing is installed. What it does meanwhile goes to the error output:
#   root=$(eng/cuda-toolkit.sh) && "$root/bin/nvcc" --version
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly version=12.4.1 cache=$PWD/.cache/cuda
readonly fetched=$cache/$version
readonly megabytes_needed=1300 # the largest package, 934 MB, beside what is kept

main() {
    local root
    if root=$(own_toolkit) || root=$(fetched_toolkit); then
        echo "$root"
    else
        fetch
        echo "$fetched"
    fi
}

# Where a person's toolkit is looked for, in this order.
own_toolkit() {
    local root on_path
    on_path=$(readlink -f "$(command -v nvcc)") || true
    for root in "${CUDA_HOME-}" "${CUDA_PATH-}" "${on_path%/bin/nvcc}" /usr/local/cuda; do
        [[ -n $root ]] || continue
        if [[ -x $root/bin/nvcc ]]; then
            ! serves "$root" || { echo "$root" && return; }
        elif [[ $root != /usr/local/cuda ]]; then
            say "not using $root: it has no bin/nvcc"
        fi
    done
    return 1
}

fetched_toolkit() { [[ -x $fetched/bin/nvcc ]] && serves "$fetched" && echo "$fetched"; }

# Whether the toolkit's version is one that Mezzo builds with, 12.4 to 13.x; says why not.
serves() {
    local release
    release=$("$1/bin/nvcc" --version 2>&1 | sed -n 's/.*release \([0-9]*\.[0-9]*\),.*/\1/p') || true
    case $release in
        12.[4-9] | 12.[1-9][0-9] | 13.*) ;;
        '') say "not using $1: its nvcc does not start, Mezzo needs CUDA 12.4 to 13.x" && return 1 ;;
        *) say "not using $1: its CUDA is $release, Mezzo needs 12.4 to 13.x" && return 1 ;;
    esac
}

fetch() {
    local tool
    [[ $(uname -sm) == 'Linux x86_64' ]] || fail "CUDA is fetched for Linux on x86_64, this is $(uname -sm)"
    for tool in apt-get dpkg-deb flock; do
        command -v "$tool" >/dev/null || fail "Debian's CUDA is fetched with $tool, which is missing"
    done
    mkdir -p "$cache"
    local free
    free=$(df --output=avail -B1M "$cache" | tail -n 1)
    ((free >= megabytes_needed)) || fail "fetching CUDA takes $megabytes_needed MB, $cache has $((free)) MB"

    # One at a time; what a killed run has left behind goes.
    exec {lock}>"$cache/lock"
    flock "$lock"
    ! fetched_toolkit >/dev/null || return 0
    rm -rf "$cache"/fetch.* "$fetched"

    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    say "fetching Debian's CUDA $version: 1.02 GB, of which 0.2 GB are kept in $fetched"
    prepare_apt
    unpack libcu++-dev ./usr/include ./usr/share/doc
    unpack libcudart12 ./usr/lib
    unpack nvidia-cuda-toolkit ./usr/bin ./usr/lib ./usr/share/doc
    unpack nvidia-cuda-dev ./usr/include '*/libcudart.so' '*/libcudart_static.a' '*/libcudadevrt.a'
    arrange
    serves "$work/root" || fail 'the fetched compiler does not run'
    mv -T "$work/root" "$fetched"
}

# A private list of packages: the release after Debian 12 has CUDA 12.4, and the system's own lists stay as they are.
prepare_apt() {
    local mirror
    mirror=$(debian_mirror)
    [[ -n $mirror ]] || fail "apt's sources name no Debian mirror to fetch CUDA from"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/unpacked"
    echo "deb [arch=amd64 lang=none target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "$mirror trixie main non-free" >"$work/sources.list"
    apt_options=(-qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Acquire::Retries=3
        -o APT::Sandbox::User="$(id -un)" -o APT::Update::Error-Mode=any)
    apt-get "${apt_options[@]}" update >&2 || fail 'the Debian mirror does not answer; is there a network?'
}

# The mirror that the machine's own source of Debian names, whichever format the source is in.
debian_mirror() {
    # shellcheck disable=SC2016  # apt's placeholders, not the shell's
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "main" && $2 ~ "/debian/([0-9TZ]+/)?$" { print $2; exit }'
}

# unpack PACKAGE PATTERN...: fetches the package and keeps these files of it. Piped, since the libraries left out
# would take 2.5 GB.
unpack() {
    (cd "$work" && apt-get "${apt_options[@]}" download "$1" >&2) || fail "$1 could not be fetched"
    dpkg-deb --fsys-tarfile "$work/$1"_*.deb |
        tar -x -C "$work/unpacked" --wildcards "${@:2}" || fail "$1 could not be unpacked"
    rm "$work/$1"_*.deb
}

# The layout of NVIDIA's own toolkit, which CMake knows. Every path is relative to the compiler's, so that the
# folder can be moved, or cached and restored elsewhere.
arrange() {
    local root=$work/root from=$work/unpacked/usr tool
    mkdir -p "$root"/{bin,nvvm,lib64}
    for tool in cudafe++ cuobjdump fatbinary nvdisasm nvlink ptxas; do
        mv "$from/bin/$tool" "$root/bin"
    done
    mv "$from/lib/nvidia-cuda-toolkit/bin" "$root/libexec"
    mv "$from/lib/nvidia-cuda-toolkit/libdevice" "$root/nvvm"
    mv "$from"/lib/*/libcuda* "$root/lib64"
    mv "$from/include" "$root"
    cp "$from/share/doc/nvidia-cuda-toolkit/copyright" "$root/LICENSE"

    # Debian's wrappers of gcc, and a link into /etc.
    rm "$root"/libexec/{gcc,g++,nvcc.profile}
    cat >"$root/libexec/nvcc.profile" <<'PROFILE'
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(_HERE_):$(TOP)/bin:
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64"
PROFILE
    cat >"$root/bin/nvcc" <<'WRAPPER'
#!/bin/sh
# nvcc with a host compiler that CUDA 12.4 knows, unless -ccbin names one.
case " $NVCC_PREPEND_FLAGS $* $NVCC_APPEND_FLAGS" in
    *' -ccbin'* | *' --compiler-bindir'*) ;;
    *)
        for compiler in g++-12 g++-13 g++-11 g++; do
            command -v "$compiler" >/dev/null && break
        done
        set -- -ccbin "$compiler" "$@"
        ;;
esac
here=$(dirname "$(readlink -f "$0")")
exec "${here%/bin}/libexec/nvcc" "$@"
WRAPPER
    chmod +x "$root/bin/nvcc"
}

say() { echo "cuda-toolkit.sh: $*" >&2; }

fail() {
    say "$*"
    say 'with CUDA 12.4 to 13.x installed and its folder in CUDA_HOME, nothing is fetched'
    exit 1
}

main
