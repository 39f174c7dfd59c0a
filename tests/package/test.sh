#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the package from artifacts/package into a fresh project outside the repository, and trains with it:
# tests/package/test.sh FOLDER, which must not exist yet.
# Packages are unpacked into a folder of the test's own, so a package of the same version from an earlier build
# cannot stand in for this one, and the native library is the package's, wherever MEZZO_LIBRARY points.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$1
packages=(artifacts/package/Mezzo.*.nupkg)
((${#packages[@]} == 1)) && [[ -f ${packages[0]} ]] || {
    echo "artifacts/package holds ${#packages[@]} packages, expected one: ${packages[*]}" >&2
    exit 1
}
version=$(basename "${packages[0]}" .nupkg)
version=${version#Mezzo.}

mkdir -p "$(dirname "$folder")"
cp -r tests/package/consumer "$folder"
unset MEZZO_LIBRARY
export NUGET_PACKAGES=$folder/packages MezzoVersion=$version
dotnet build "$folder" -c Release -o "$folder/out" -p:RestoreAdditionalProjectSources="$PWD/artifacts/package"
needed=$(objdump -p "$folder/out/runtimes/linux-x64/native/libmezzo.so" | awk '$1 == "NEEDED" {print $2}')
[[ $needed != *dnnl* ]] || {
    echo "the package's native library needs oneDNN, which the machine it is installed on may lack" >&2
    exit 1
}
output=$(dotnet "$folder/out/Consumer.dll")
echo "$output"
[[ $output == *"from $folder/out/runtimes/linux-x64/native/libmezzo.so"* ]] || {
    echo "the native library did not come from the package" >&2
    exit 1
}
