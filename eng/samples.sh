#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs one sample as its reader would: eng/samples.sh NAME SCRATCH [FILE], with Mezzo installed in
# SCRATCH/prefix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source eng/common.sh

readonly scratch=$2 prefix=$2/prefix sample=${3-}

c_by_cmake() {
    cmake -S samples/c -B "$scratch/c" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix"
    ninja -C "$scratch/c"
    "$scratch/c/train_sincos"
}

c_by_pkg_config() {
    local flags
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name mezzo.pc)")
    export PKG_CONFIG_PATH
    read -ra flags <<<"$(pkg-config --cflags --libs mezzo)"
    gcc -std=c99 -Wall -Wextra -Wpedantic -Werror samples/c/train_sincos.c "${flags[@]}" -lm -o "$scratch/train_sincos"
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir mezzo) "$scratch/train_sincos"
}

python() {
    MEZZO_LIBRARY=$(find "$prefix" -name libmezzo.so) python3 samples/python/train_sincos.py
}

csharp() {
    dotnet run -c "$dotnet_configuration" "$sample"
}

# The first C# block of README.md is a whole program.
readme() {
    {
        printf '#:project %s/managed/Mezzo\n#:property PublishAot=false\n' "$PWD"
        awk '/^```csharp/ { inside = 1; next } /^```/ && inside { exit } inside' README.md
    } >"$scratch/readme.cs"
    (($(wc -l <"$scratch/readme.cs") > 2)) || fail 'README.md has no ```csharp block'
    dotnet run -c "$dotnet_configuration" "$scratch/readme.cs"
}

"$1"
