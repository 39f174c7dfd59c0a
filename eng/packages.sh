# SPDX-License-Identifier: MIT
# Debian packages that the build wants: what each is for, how to see that it is there, and for the optional
# ones what is lost without it. Nothing is installed that the verb at hand does not need.

# need PACKAGE...: sees to it that the packages are there. As root it installs what is missing; otherwise it
# prints the command and stops, or goes on when only optional ones are missing.
need() {
    local package missing required=() optional=()
    for package in "$@"; do
        package_present "$package" && continue
        if [[ -n $(package_loss "$package") ]]; then optional+=("$package"); else required+=("$package"); fi
    done
    missing=("${required[@]}" "${optional[@]}")
    ((${#missing[@]} > 0)) || return 0

    echo 'This machine lacks:'
    for package in "${missing[@]}"; do
        printf '  %-21s%s\n' "$package" "$(package_purpose "$package")"
    done

    if ! command -v apt-get >/dev/null; then
        ((${#required[@]} == 0)) || fail "no apt-get here; install these, by their Debian names, then try again"
        warn_losses "${optional[@]}"
    elif ((EUID != 0)); then
        echo 'Install with:'
        echo "  sudo apt-get update && sudo apt-get install --no-install-recommends -y ${missing[*]}"
        ((${#required[@]} == 0)) || fail "not running as root; run the command above, then try again"
        warn_losses "${optional[@]}"
    else
        install_packages
    fi
}

install_packages() {
    echo 'Installing with apt-get.'
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo 'apt-get update failed; trying with the lists that are there.'
    if ((${#required[@]} > 0)); then
        apt-get install --no-install-recommends -y -qq "${required[@]}" </dev/null >/dev/null ||
            fail "apt-get could not install: ${required[*]}"
    fi
    local package
    for package in "${optional[@]}"; do
        apt-get install --no-install-recommends -y -qq "$package" </dev/null >/dev/null || warn_losses "$package"
    done
    export packages_installed=1
}

warn_losses() {
    local package
    for package in "$@"; do
        echo "Without $package: $(package_loss "$package")."
    done
}

package_purpose() {
    case $1 in
        cmake) echo 'configures the native build' ;;
        ninja-build) echo 'runs the native build' ;;
        g++) echo 'compiles the native library' ;;
        libgtest-dev) echo 'GoogleTest, for the native tests' ;;
        libboost-context-dev) echo 'fibers, which the simulated CUDA device runs threads as' ;;
        libdnnl-dev) echo 'oneDNN, matrix products on processors with AMX or without AVX-512' ;;
        pkg-config) echo 'how the C sample finds the installed library' ;;
        python3) echo 'runs the ctypes sample and counts the test results' ;;
        clang) echo 'reads the C headers for the generated bindings' ;;
        clang-format) echo 'formats the C++ sources' ;;
        python3-torch) echo 'PyTorch, which the benchmark compares with' ;;
        python3-numpy) echo 'arrays for the Python scripts' ;;
        libopenblas0-pthread) echo "the fast BLAS under PyTorch; Debian's reference BLAS is 20 times slower" ;;
        *) fail "package_purpose: unknown package '$1'" ;;
    esac
}

# What is lost without an optional package; nothing for a required one.
package_loss() {
    case $1 in
        libdnnl-dev) echo 'processors without AVX-512 multiply matrices in plain loops, slower, and AMX is not used' ;;
        clang) echo 'the committed bindings are used as they are, not generated or compared' ;;
        clang-format) echo 'the format of the C++ sources is neither checked nor changed' ;;
    esac
}

package_present() {
    case $1 in
        ninja-build) have ninja ;;
        clang) have clang || compgen -c clang- | grep -qxE 'clang-[0-9]+' ;;
        libgtest-dev) have_header gtest/gtest.h ;;
        libboost-context-dev) have_header boost/context/fiber.hpp ;;
        libdnnl-dev) have_header oneapi/dnnl/dnnl.hpp ;;
        python3-torch) have_python_module torch ;;
        python3-numpy) have_python_module numpy ;;
        libopenblas0-pthread) compgen -G '/usr/lib/*/openblas-pthread/libblas.so.3' >/dev/null ;;
        *) have "$1" ;;
    esac
}

have() { command -v "$1" >/dev/null; }

have_header() {
    have g++ && printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$1" | g++ -x c++ -E - >/dev/null 2>&1
}

have_python_module() {
    [[ -x /usr/bin/python3 ]] &&
        /usr/bin/python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)' "$1"
}

need_dotnet() {
    local wanted answer
    wanted=$(sed -n 's/.*"version": "\([0-9]*\)\..*/\1/p' global.json)
    have dotnet || fail "the .NET $wanted SDK is missing: no dotnet on PATH; see https://dotnet.microsoft.com/download"
    answer=$(dotnet --version 2>&1) || fail "the .NET $wanted SDK does not answer; dotnet --version says: $answer"
}
