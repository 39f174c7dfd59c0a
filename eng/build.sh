# SPDX-License-Identifier: MIT
# The steps that the verbs are made of. Sourced after common.sh and packages.sh.

# build_all [PACKAGE...]: builds everything, with these packages too, which the verb needs afterwards.
build_all() {
    need_dotnet
    need g++ cmake ninja-build libgtest-dev libdnnl-dev "$@"
    build_native release
    build_managed
}

# build_native PRESET: ninja itself sees when CMake has to run again, but for the first time, for packages that have
# just come and for presets that have changed.
build_native() {
    if [[ ! -f build/$1/build.ninja || -n ${packages_installed-} || CMakePresets.json -nt build/$1/CMakeCache.txt ]]; then
        say "Configuring build/$1"
        cmake --preset "$1" || return
    fi
    say "Building build/$1"
    ninja -C "build/$1"
}

build_managed() {
    say 'Building Engine.sln'
    dotnet build Engine.sln -c "$dotnet_configuration" -v quiet
}

# The library of the package, with kernels for every GPU. The compiler is the person's own or fetched, once.
build_package() {
    local toolkit
    toolkit=$(eng/cuda-toolkit.sh) || return
    CUDA_HOME=$toolkit build_native package
}

# The same commit gives the same bytes: entries of the package carry the commit's time, not the clock's.
pack() {
    build_package || return
    say "Packing into $package_dir"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 315532800) \
        dotnet pack managed/Mezzo -c "$dotnet_configuration" -v quiet -p:ContinuousIntegrationBuild=true \
        -p:ArtifactsPath="$PWD/artifacts/pack" -p:MezzoNativeBuild="$PWD/build/package/"
    ls -l "$package_dir"/*.nupkg
}

build_onednn_floor() {
    mkdir -p build/bench
    g++ -std=c++20 -O2 -Wall -Wextra -Werror benchmarks/sincos/onednn_floor.cpp -ldnnl -o build/bench/onednn_floor
}

build_checkpoint_bench() { dotnet build benchmarks/checkpoint -c "$dotnet_configuration" -v quiet; }
