#!/bin/sh
# Runs every libFuzzer target for a while, two at a time, and says PASS or FAIL for each.
#
# usage: tools/fuzz.sh [SECONDS]      (default 60, for each target)
#
# Seeds come from tests/seeds/<target>/ where that exists; what the fuzzer finds worth keeping stays in
# build-fuzz/corpus/<target>/, so that the next run goes on from there. An input that breaks a target is left in
# build-fuzz/crashes/ and named in the output. Exits with the number of targets that failed.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
build=build-fuzz

[ -e $build/build.ninja ] ||
    CC=clang-14 meson setup $build --buildtype=debugoptimized -Dfuzz=true -Dtests=disabled -Dwerror=false \
        -Db_sanitize=address,undefined >/dev/null
ninja -C $build >$build/ninja.log 2>&1 || { grep -E 'error|FAILED' $build/ninja.log; echo "FAIL fuzz build"; exit 1; }
mkdir -p $build/crashes $build/corpus

cat >$build/one.sh <<'RUN'
t=$(basename "$1" _fuzz)
mkdir -p "$3/corpus/$t"
seeds=; [ ! -d "tests/seeds/$t" ] || seeds=tests/seeds/$t
if UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 "$1" -max_total_time="$2" -rss_limit_mb=2048 -timeout=25 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$3/crashes/$t-" "$3/corpus/$t" $seeds >"$3/$t.log" 2>&1
then echo "PASS fuzz $t ($(sed -n 's/^stat::number_of_executed_units: *//p' "$3/$t.log") inputs)"
else tail -40 "$3/$t.log"; echo "FAIL fuzz $t"
fi
RUN
ls $build/*_fuzz 2>/dev/null | xargs -P2 -I{} sh $build/one.sh {} "$seconds" $build >$build/result.log
cat $build/result.log
exit "$(grep -c '^FAIL' $build/result.log || true)"
