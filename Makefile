# The front door. Everything real is in meson.build, tools/ and tests/.
#
#   make           build/sluice (release); installs what it needs the first time (tools/deps.sh)
#   make demo      a guided tour with a throw-away PostgreSQL, under a minute after the build
#   make check     everything that must pass: unit tests (ASan, UBSan), pytest suite, lint, short fuzzing
#   make lint      the checks that only read the sources
#   make spark     what Spark says to our tables: cross-reading, random statements, writers of both (SLUICE_SPARK_SEEDS=1:20)
#   make torture   kill -9 a thousand times at random and at named steps; compare with an oracle
#   make fuzz      each fuzz target for a minute (FUZZ_SECONDS=n)
#   make bench     what it takes in time and memory, beside its peers (BENCH_ARGS="stream --quick"; see bench/README.md)
#   make install   to PREFIX (default /usr/local); DESTDIR is honoured
BUILD ?= build
ASAN ?= build-asan
TSAN ?= build-tsan
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
KILLS ?= 1000
SEED ?= 1
PYTHON = $(or $(SLUICE_VENV),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice/venv)/bin/python
.PHONY: all asan tsan test-deps demo check lint bench spark torture fuzz install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	sh tools/deps.sh build
	meson setup $(BUILD) --buildtype=release -Dtests=disabled --prefix=$(PREFIX) >/dev/null

$(ASAN)/build.ninja: | test-deps
	meson setup $(ASAN) --buildtype=debugoptimized -Db_sanitize=address,undefined >/dev/null

test-deps:
	sh tools/deps.sh build test

asan: test-deps $(ASAN)/build.ninja
	ninja -C $(ASAN)

demo: all
	sh tools/deps.sh demo
	SLUICE_BIN=$(CURDIR)/$(BUILD)/sluice sh demo/demo.sh

tsan: | test-deps
	[ -e $(TSAN)/build.ninja ] || meson setup $(TSAN) --buildtype=debugoptimized -Db_sanitize=thread -Dtests=disabled >/dev/null
	ninja -C $(TSAN)

check: asan tsan
	$(PYTHON) tools/check.py --build $(ASAN) --tsan $(TSAN) $(CHECK_ARGS)

lint: asan
	sh tools/lint.sh $(ASAN)

# A job of its own: Spark and Delta Lake (400 MB) are fetched the first time.
spark: asan
	sh tools/deps.sh spark
	SLUICE_BIN=$(CURDIR)/$(ASAN)/sluice $(PYTHON) -m pytest -q --spark tests/spark

torture: asan
	SLUICE_BIN=$(CURDIR)/$(ASAN)/sluice $(PYTHON) tests/torture.py --kills $(KILLS) --seed $(SEED)

fuzz: test-deps
	sh tools/fuzz.sh $(FUZZ_SECONDS)

bench: all test-deps
	SLUICE_BIN=$(CURDIR)/$(BUILD)/sluice $(PYTHON) bench/run.py $(BENCH_ARGS)

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(ASAN) $(TSAN) build-fuzz
