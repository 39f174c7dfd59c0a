# SPDX-License-Identifier: MIT
# What every script of the build shares. Sourced from the repository's root.

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
if [[ ${CI-} == true ]]; then
    # A build server that outlives the job would keep its output open.
    export MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=false
fi

readonly dotnet_configuration=Release
readonly mezzo_program=artifacts/bin/Mezzo.Cli/release/Mezzo.Cli.dll
readonly results_dir=artifacts/test-results
readonly package_dir=artifacts/package

# The managed tests on the simulated device, in parts that take about as long: the project and a filter of each.
declare -rA managed_parts=(
    [Mezzo.Tests]='Mezzo.Tests FullyQualifiedName!~.Checkpointing.'
    [Mezzo.Tests.Checkpointing]='Mezzo.Tests FullyQualifiedName~.Checkpointing.'
    [Mezzo.Cli.Tests]='Mezzo.Cli.Tests FullyQualifiedName~Mezzo'
)

say() { printf '\n== %s\n' "$*"; }

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

fail_usage() {
    echo "build.sh: $*" >&2
    exit 2
}

# The C and C++ sources, separated by null characters.
native_sources() {
    find native tests/native samples/c benchmarks \
        \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 | sort -z
}

# Sets MEZZO_SIM_SEED, the seed of the simulated device's schedule, which repeats a run where it is given.
draw_sim_seed() {
    export MEZZO_SIM_SEED=${MEZZO_SIM_SEED-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
}

# Stops what was started in the background: it does not hear of Ctrl-C by itself.
kill_jobs() {
    local processes
    processes=$(jobs -p)
    [[ -z $processes ]] || kill $processes 2>/dev/null || true
}
