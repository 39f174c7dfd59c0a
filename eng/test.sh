#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs every suite over what `./build.sh build` has built, whatever the others gave, and adds up the results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source eng/common.sh
source eng/cases.sh

# Seconds after which a suite counts as hanging, and is stopped.
readonly longest_suite=900

rm -rf "$results_dir"
mkdir -p "$results_dir"
scratch=$(mktemp -d)
trap 'kill_jobs; rm -rf "$scratch"' EXIT
results=()

# suite_of FILE COMMAND...: runs a suite that writes its results to FILE in the results' folder.
suite_of() {
    start_suite "$@"
    finish_suites
}

declare -A started=()

start_suite() {
    timeout "$longest_suite" "${@:2}" </dev/null &
    started[$results_dir/$1]=$!
}

finish_suites() {
    local file status
    for file in "${!started[@]}"; do
        status=0
        wait "${started[$file]}" || status=$?
        results+=("$file=$status")
    done
    started=()
}

say 'Tests: native'
suite_of native.xml build/release/mezzo_native_tests --gtest_brief=1 --gtest_output="xml:$results_dir/native.xml"

say 'Tests: ABI'
suite_of abi.xml ctest --test-dir build/release -E '^mezzo_native_tests$' --output-on-failure \
    --output-junit "$PWD/$results_dir/abi.xml"

for project in Mezzo.Tests Mezzo.Cli.Tests; do
    say "Tests: $project"
    suite_of "$project.trx" dotnet test "tests/$project" -c "$dotnet_configuration" --no-build \
        --logger "trx;LogFileName=$project.trx" --results-directory "$results_dir"
done

# The same suites on cuda:0, which the simulated device provides. Each run has another schedule of threads, which
# MEZZO_SIM_SEED repeats. Fresh memory is NaN.
export MEZZO_POISON_MEMORY=1
draw_sim_seed
# start_native_cuda NAME [ENVIRONMENT...]
start_native_cuda() {
    start_suite "$1.xml" env MEZZO_TEST_DEVICE=cuda:0 "${@:2}" build/cuda-sim/mezzo_native_tests --gtest_brief=1 \
        --gtest_filter='-*OnCpu.*' --gtest_output="xml:$results_dir/$1.xml"
}

# Both at once, since each has one thread.
say "Tests: native on the simulated CUDA device, and on one without what came after Turing, MEZZO_SIM_SEED=$MEZZO_SIM_SEED"
start_native_cuda native-cuda
start_native_cuda native-cuda-sm75 MEZZO_SIM_ARCH=7.5
finish_suites

say "Tests: Mezzo.Tests and Mezzo.Cli.Tests on the simulated CUDA device, MEZZO_SIM_SEED=$MEZZO_SIM_SEED"
for part in "${!managed_parts[@]}"; do
    read -r project filter <<<"${managed_parts[$part]}"
    start_suite "$part-cuda.trx" env MEZZO_TEST_DEVICE=cuda:0 MEZZO_LIBRARY="$PWD/build/cuda-sim/libmezzo.so" \
        dotnet test "tests/$project" -c "$dotnet_configuration" --no-build --filter "TestCategory!=CpuOnly&$filter" \
        --logger "trx;LogFileName=$part-cuda.trx" --results-directory "$results_dir"
done
finish_suites
unset MEZZO_POISON_MEMORY MEZZO_SIM_SEED

suite scripts
case_of 'which CUDA toolkit is taken' python3 eng/cuda_toolkit_test.py
case_of 'faults planted in compiled kernels' python3 eng/cuda_resources_test.py
case_of 'what is made of a GPU machine' python3 eng/gpu_test.py
results+=("$suite_file=0")

suite benchmarks
case_of 'CUDA kernels, built' ninja -C build/cuda-sim cuda_kernels_bench
case_of 'CUDA kernels, on the simulated device' build/cuda-sim/cuda_kernels_bench --tiny --json "$scratch/kernels.json"
case_of 'linear layers, built' ninja -C build/release linear_bench
case_of 'linear layers, of a few rows' build/release/linear_bench 64 16 16 1
case_of 'checkpointed steps, built' dotnet build benchmarks/checkpoint -c "$dotnet_configuration" -v quiet
case_of 'checkpointed steps, of a small net' dotnet artifacts/bin/CheckpointBench/release/CheckpointBench.dll 6 32 256 bf16 1 4
case_of 'what is made of checkpointed steps' python3 benchmarks/checkpoint/report_test.py
results+=("$suite_file=0")

suite samples
case_of 'cmake --install' cmake --install build/release --prefix "$scratch/prefix"
case_of 'C sample, found by CMake' eng/samples.sh c_by_cmake "$scratch"
case_of 'C sample, found by pkg-config' eng/samples.sh c_by_pkg_config "$scratch"
case_of 'Python sample' eng/samples.sh python "$scratch"
for sample in samples/csharp/*.cs; do
    case_of "C# sample $(basename "$sample" .cs)" eng/samples.sh csharp "$scratch" "$sample"
done
case_of 'C# example of the README' eng/samples.sh readme "$scratch"
results+=("$suite_file=0")

suite package
case_of 'pack' ./build.sh pack
case_of 'a fresh project trains with the package' tests/package/test.sh "$scratch/package"
results+=("$suite_file=0")

say 'Summary'
python3 eng/tally.py "${results[@]}"
