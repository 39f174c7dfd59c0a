#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What must hold besides the tests: formatting, generated bindings, scripts that parse, no finding of the sanitizers.
# Runs after `./build.sh build`; every check runs, whatever the others gave.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source eng/common.sh
source eng/packages.sh
source eng/build.sh

failed=()
trap kill_jobs EXIT

# check NAME COMMAND...
check() {
    local start=$SECONDS
    say "Check: $1"
    if "${@:2}" </dev/null; then
        echo "passed ($((SECONDS - start)) s)"
    else
        echo "FAILED: $1"
        failed+=("$1")
    fi
}

# check_with PACKAGE NAME COMMAND...: left out where an optional package could not be had.
check_with() {
    if package_present "$1"; then
        check "${@:2}"
    else
        say "Check left out for want of $1: $2"
    fi
}

clang_format() { native_sources | xargs -0 clang-format --dry-run -Werror; }

scripts() {
    local script
    for script in build.sh .ci/run eng/*.sh tests/package/test.sh; do
        bash -n "$script" || return
    done
}

# wait_for PROCESS...: fails if one of them does.
wait_for() {
    local process status=0
    for process; do
        wait "$process" || status=1
    done
    return $status
}

# sanitized SHARDS ASAN_OPTIONS FILTER [ENVIRONMENT...]: native tests under the sanitizers, in so many processes at once.
sanitized() {
    local shards=$1 shard processes=()
    build_native cuda-sim-sanitize || return
    for ((shard = 0; shard < shards; ++shard)); do
        env ASAN_OPTIONS="strict_string_checks=1:$2" UBSAN_OPTIONS=print_stacktrace=1 GTEST_FILTER="$3" \
            GTEST_TOTAL_SHARDS="$shards" GTEST_SHARD_INDEX=$shard "${@:4}" \
            build/cuda-sim-sanitize/mezzo_native_tests --gtest_brief=1 &
        processes+=($!)
    done
    wait_for "${processes[@]}"
}

# The suites that there are without CUDA too, on the CPU.
sanitized_cpu() {
    local suites
    suites=$(build/release/mezzo_native_tests --gtest_list_tests | sed -n 's/^\([^ ]*\.\).*/\1*/p' | paste -sd:) || return
    sanitized 2 detect_stack_use_after_return=1 "$suites-*OnEveryDevice*"
}

# Here threads change stacks all the time: stacks that outlive their calls would double the time. Left out is what runs the
# kernels of other tests, to compare bits.
sanitized_cuda() {
    sanitized 2 detect_stack_use_after_return=0 \
        '-*OnCpu.*:*.OnEveryDevice_GivesTheSameBits:*.Repeated_GivesTheSameBits' MEZZO_TEST_DEVICE=cuda:0
}

# The managed tests on the sanitized simulated device. .NET has its own use for faults and its own memory.
sanitized_managed() {
    local part project filter processes=()
    for part in "${!managed_parts[@]}"; do
        read -r project filter <<<"${managed_parts[$part]}"
        env LD_PRELOAD="$(g++ -print-file-name=libasan.so)" \
            ASAN_OPTIONS=detect_leaks=0:handle_segv=0:allow_user_segv_handler=1:use_sigaltstack=0 \
            MEZZO_LIBRARY="$PWD/build/cuda-sim-sanitize/libmezzo.so" MEZZO_TEST_DEVICE=cuda:0 \
            dotnet test "tests/$project" -c "$dotnet_configuration" --no-build \
            --filter "TestCategory!=CpuOnly&$filter" &
        processes+=($!)
    done
    wait_for "${processes[@]}"
}

# Kernels that memory bounds read and write 16 bytes at a time, of casts to and from halves the wider side, of optimizers
# that update halves their states.
readonly wide=('optimizer_step_kernel<.*(Adam|Momentum)Rule' 'optimizer_step_kernel<.*SgdRule, (float|double)'
    unscale_kernel add_forward scale_forward relu_forward relu_backward activation_forward activation_backward
    dropout_forward 'concat_kernel<uint4' 'embedding_forward_kernel<uint4'
    'batch_norm_(sums|products|forward|backward)_kernel<(float|double)' 'softmax_(forward|backward)_kernel<., (float|double)'
    'cross_entropy_backward_kernel<., (float|double)')
readonly wide_loads=("${wide[@]}" lamb_update_kernel 'cast_forward_kernel<.*, float>' '::norm_(forward|backward)_kernel'
    'norm_columns_kernel<(float|double)' checksum_kernel relu_mask_pack_kernel 'cross_entropy_forward_kernel<., (float|double)')
readonly wide_stores=("${wide[@]}" 'lamb_update_kernel<(float|double)' 'cast_forward_kernel<float' fill_kernel
    full_reduction_backward relu_mask_unpack_kernel random_uniform_kernel random_normal_kernel '::norm_forward_kernel<., .*, (float|double)>'
    '::norm_backward_kernel<., (float|double)' norm_columns_kernel)

kernels() {
    local toolkit
    toolkit=$(eng/cuda-toolkit.sh) && build_package &&
        eng/cuda_resources.py --toolkit "$toolkit" --max-megabytes 40 --shipped native/cmake/Cuda.cmake \
            --tensor matmul_sm75@75-75 --tensor matmul_sm80@80 \
            "${wide_loads[@]/#/--wide-load=}" "${wide_stores[@]/#/--wide-store=}" build/package/libmezzo.so
}

draw_sim_seed

check_with clang-format 'format of the C++ sources' clang_format
check 'format of the C# sources' dotnet format Engine.sln --verify-no-changes --no-restore
check 'format of the C# benchmark' dotnet format benchmarks/checkpoint --verify-no-changes
check_with clang 'generated bindings' \
    dotnet run --project bindings/generator -c "$dotnet_configuration" --no-build -- --check
check 'scripts' scripts
check 'native tests under the sanitizers' sanitized_cpu
check "native tests on the simulated CUDA device under the sanitizers, MEZZO_SIM_SEED=$MEZZO_SIM_SEED" sanitized_cuda
check "managed tests on the simulated CUDA device under AddressSanitizer, MEZZO_SIM_SEED=$MEZZO_SIM_SEED" sanitized_managed
check 'kernels of every architecture: no spills, tensor cores, wide accesses, size of the library' kernels

say 'Summary'
if ((${#failed[@]} > 0)); then
    printf 'failed check: %s\n' "${failed[@]}"
    exit 1
fi
echo 'all checks passed'
