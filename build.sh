#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds, runs and tests Mezzo. Without a verb it prints what it can do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source eng/common.sh
source eng/packages.sh
source eng/build.sh

# verb | what it does, the list that `./build.sh` prints
readonly verbs='build|build everything: native library, bindings, managed library, command line, tests
run|build, then run the sin/cos comparison; `run -- ARGS` runs `mezzo ARGS` instead
test|build, then run every test; the last line is `N passed, N failed, N skipped`
gen|write the C# bindings anew from the C headers (needs clang)
fmt|format the C++ and C# sources
check|formatting, generated bindings, tests under AddressSanitizer and UBSan, CUDA kernels
bench|measure: `bench sincos`, time against PyTorch and oneDNN; `quality`, losses; `amp`, steps; `checkpoint`, memory
pack|make the NuGet package in artifacts/package
gpu-bundle|pack what a machine with a GPU but without .NET needs, into artifacts/gpu-bundle
gpu|build, test and measure on the GPU of this machine, with the bundle; `gpu --help` lists the parts'

main() {
    local verb=${1-}
    [[ -n $verb ]] || { usage; return; }
    shift
    case $verb in
        build) no_arguments build "$@"; build_all ;;
        run) verb_run "$@" ;;
        test) no_arguments test "$@"; verb_test ;;
        gen) no_arguments gen "$@"; verb_gen ;;
        fmt) no_arguments fmt "$@"; verb_fmt ;;
        check) no_arguments check "$@"; verb_check ;;
        bench) verb_bench "$@" ;;
        pack) no_arguments pack "$@"; build_all; pack ;;
        gpu-bundle) no_arguments gpu-bundle "$@"; need_dotnet; need libgtest-dev; exec eng/gpu-bundle.sh ;;
        gpu) exec python3 eng/gpu.py "$@" ;;
        -h | --help | help) usage ;;
        *) unknown "$verb" ;;
    esac
}

usage() {
    echo 'Usage: ./build.sh VERB'
    echo
    local verb text
    while IFS='|' read -r verb text; do
        printf '  %-12s%s\n' "$verb" "$text"
    done <<<"$verbs"
}

# An unknown verb: the nearest one by edit distance, the list, exit 2.
unknown() {
    local nearest
    nearest=$(cut -d'|' -f1 <<<"$verbs" | awk -v word="$1" -f eng/nearest.awk)
    echo "build.sh: unknown verb '$1'; did you mean '$nearest'?" >&2
    usage >&2
    exit 2
}

no_arguments() {
    (($# == 1)) || fail_usage "$1 takes no arguments, got: ${*:2}"
}

verb_run() {
    if (($# > 0)); then
        [[ $1 == -- ]] || fail_usage "arguments of mezzo stand after '--': ./build.sh run -- $*"
        shift
    fi
    (($# > 0)) || set -- train sincos --out artifacts/report
    build_all
    exec dotnet "$mezzo_program" "$@"
}

verb_gen() {
    need_dotnet
    need clang
    dotnet run --project bindings/generator -c "$dotnet_configuration"
}

verb_fmt() {
    need_dotnet
    need clang-format
    ! package_present clang-format || native_sources | xargs -0 clang-format -i
    dotnet format Engine.sln
    dotnet format benchmarks/checkpoint
}

verb_test() {
    build_all pkg-config python3 libboost-context-dev
    build_native cuda-sim
    exec eng/test.sh
}

verb_check() {
    build_all clang clang-format libboost-context-dev python3
    exec eng/check.sh
}

verb_bench() {
    case ${1-} in
        sincos)
            shift
            build_all python3-torch python3-numpy libopenblas0-pthread
            package_present libdnnl-dev || fail 'bench sincos needs oneDNN, whose products alone it measures too'
            build_onednn_floor
            exec /usr/bin/python3 benchmarks/sincos/bench.py "$@"
            ;;
        quality)
            shift
            build_all python3
            exec /usr/bin/python3 benchmarks/sincos/quality.py "$@"
            ;;
        amp)
            shift
            build_all python3-torch python3-numpy libopenblas0-pthread
            exec /usr/bin/python3 benchmarks/amp/bench.py "$@"
            ;;
        checkpoint)
            shift
            build_all python3-torch python3-numpy libopenblas0-pthread
            build_checkpoint_bench
            exec /usr/bin/python3 benchmarks/checkpoint/bench.py "$@"
            ;;
        *) fail_usage "bench takes the name of a benchmark: sincos, quality, amp or checkpoint, got: ${1:-nothing}" ;;
    esac
}

main "$@"
