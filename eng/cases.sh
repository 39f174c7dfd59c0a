# SPDX-License-Identifier: MIT
# Tests that are commands: each counts as one. Sourced after common.sh.

# suite NAME: the cases that follow are counted in this suite's file.
suite() {
    say "Tests: $1"
    suite_file=$results_dir/$1.cases
    : >"$suite_file"
}

# case_of NAME COMMAND...: passes when the command exits with 0; its output is shown when it does not.
case_of() {
    local name=$1 log start=$SECONDS
    log=$results_dir/${name//[^A-Za-z0-9]/_}.log
    shift
    if timeout "$longest_suite" "$@" >"$log" 2>&1 </dev/null; then
        echo "passed $name" >>"$suite_file"
        echo "  passed  $name ($((SECONDS - start)) s)"
    else
        echo "failed $name" >>"$suite_file"
        echo "  FAILED  $name, see $log; it ends with:"
        tail -n 40 "$log" | sed 's/^/    /'
    fi
}
