#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes artifacts/gpu-bundle/mezzo-gpu.tar.xz: what a machine with a GPU, but without .NET and without a network, needs
# beside or instead of a checkout: the native sources, and in bundle/ the managed programs with the .NET runtime in
# them, GoogleTest's sources, and a manifest. Built from a copy of the sources, so that it leaves no trace in them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source eng/common.sh

readonly out=$PWD/artifacts/gpu-bundle work=$PWD/artifacts/gpu-bundle-work
readonly most_megabytes=45
readonly googletest=/usr/src/googletest # Debian's package googletest, which libgtest-dev brings
# What the native build, its tests and benchmarks are made from.
readonly sources=(build.sh CMakeLists.txt CMakePresets.json LICENSE native tests/native benchmarks eng docs/gpu.md
    docs/testing.md)

main() {
    [[ -f $googletest/googletest/CMakeLists.txt ]] || fail "GoogleTest's sources are missing: install googletest"
    git rev-parse HEAD >/dev/null 2>&1 || fail 'gpu-bundle needs a git checkout: the bundle says which commit it is of'
    rm -rf "$work"
    mkdir -p "$work/tree" "$work/mezzo-gpu/bundle" "$out"
    copy_tree
    (cd "$work/tree" && publish)
    prune
    add_googletest
    add_sources
    pack
}

# Files of the working tree that git knows or would know; those deleted since are left out.
copy_tree() {
    say 'Copying the sources'
    local file
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            [[ ! -f $file ]] || printf '%s\0' "$file"
        done | xargs -0 cp --parents -t "$work/tree"
}

# Self-contained and trimmed. The command line is compiled ahead, or a second of just-in-time compilation would be all
# that a short training on a GPU shows; the tests are not, for size.
publish() {
    local bundle=$work/mezzo-gpu/bundle
    local options=(-c "$dotnet_configuration" -v quiet -p:RestoreLockedMode=false)
    say 'Publishing the managed tests'
    dotnet publish tests/Mezzo.Tests.Standalone "${options[@]}" -p:MezzoStandalone=true -o "$bundle/tests"
    say 'Publishing mezzo'
    dotnet publish managed/Mezzo.Cli "${options[@]}" -r linux-x64 --self-contained -p:PublishTrimmed=true \
        -p:TrimMode=partial -p:SuppressTrimAnalysisWarnings=true -p:PublishReadyToRun=true -o "$bundle/mezzo"
    mv "$bundle/mezzo/Mezzo.Cli" "$bundle/mezzo/mezzo"
}

# What only debuggers, documentation and other garbage collectors need. The native library is built on the machine.
prune() {
    local bundle=$work/mezzo-gpu/bundle
    find "$bundle" \( -name '*.xml' -o -name 'libmezzo.so*' -o -name createdump -o -name 'libmscor*' -o -name 'libclrgc*' \
        -o -name libcoreclrtraceptprovider.so -o -name Mezzo.Bindings.Generator \) -delete
    find "$bundle" -name '*.pdb' ! -name 'Mezzo*' -delete
}

add_googletest() {
    local to=$work/mezzo-gpu/bundle/googletest
    mkdir -p "$to/googletest"
    cp "$googletest/CMakeLists.txt" "$to"
    cp -r "$googletest"/googletest/{CMakeLists.txt,cmake,include,src} "$to/googletest"
    cp /usr/share/doc/googletest/copyright "$to/LICENSE"
}

add_sources() {
    local bundle=$work/mezzo-gpu/bundle source changed=false
    for source in "${sources[@]}"; do
        (cd "$work/tree" && [[ ! -e $source ]] || cp -r --parents "$source" "$work/mezzo-gpu")
    done
    (cd "$work/tree" && find CMakeLists.txt native tests/native benchmarks/cuda -type f -print0 | sort -z |
        xargs -0 sha256sum) >"$bundle/sources.sha256"
    [[ -z $(git status --porcelain --untracked-files=no) ]] || changed=true
    printf '{"commit": "%s", "changed": %s}\n' "$(git rev-parse HEAD)" "$changed" >"$bundle/manifest.json"
}

pack() {
    say 'Packing'
    local archive=$out/mezzo-gpu.tar.xz bytes
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -c mezzo-gpu | xz -9 >"$archive.part"
    mv "$archive.part" "$archive"
    bytes=$(stat -c %s "$archive")
    printf '%s: %s bytes, %s unpacked\n' "${archive#"$PWD"/}" "$bytes" "$(du -sh "$work/mezzo-gpu" | cut -f1)"
    ((bytes <= most_megabytes * 1000000)) || fail "the bundle is larger than $most_megabytes MB"
    rm -rf "$work"
}

main
