#!/bin/sh
# All that reads the sources without running them. Goes through every check, then exits with the number that failed.
#
# usage: tools/lint.sh [BUILD_DIR]     (default build-asan; its compile_commands.json tells clang-tidy the flags)
set -u
cd "$(dirname "$0")/.."
build=${1:-build-asan}
failed=0

step() { # name command...
    name=$1
    shift
    if out=$("$@" 2>&1); then
        echo "PASS lint $name"
    else
        echo "$out"
        echo "FAIL lint $name"
        failed=$((failed + 1))
    fi
}

sources() { git ls-files "$@" 2>/dev/null || find src -name '*.[ch]'; }

format() { sources 'src/*.[ch]' 'src/*/*.[ch]' | sort -u | xargs clang-format-14 --dry-run -Werror; }

run_tidy() { # pattern-option pattern extra-checks
    sources 'src/*/*.c' | grep $1 "$2" |
        xargs -P"$(nproc)" -n4 clang-tidy-14 -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option \
            --extra-arg=-Wno-unused-variable $3
}

# clang calls a variable unused that only its CLEANUP() uses; gcc's -Wall in the build knows better.
tidy() { # fuzz targets are in no build of gcc; the analyzer does not know that cmocka's asserts end a path
    tmp=$(mktemp)
    run_tidy -v '_\(fuzz\|test\)\.c$' '' >"$tmp" 2>&1
    rc=$?
    run_tidy -e '_test\.c$' '--checks=-clang-analyzer-*' >>"$tmp" 2>&1 || rc=1
    grep -v 'warnings\? generated\|^Suppressed' "$tmp" || true
    rm -f "$tmp"
    return $rc
}

shell() { for f in tools/*.sh .ci/run demo/*.sh; do [ ! -e "$f" ] || sh -n "$f" || return 1; done; }

step layers python3 tools/check_layers.py
step format format
step shell shell
step tidy tidy
exit $failed
