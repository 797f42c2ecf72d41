# The front door. Everything real is in meson.build and tools/.
BUILD ?= build
ASAN ?= build-asan
.PHONY: all demo check lint bench install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	sh tools/deps.sh build
	meson setup $(BUILD) --buildtype=release -Dtests=disabled >/dev/null

$(ASAN)/build.ninja:
	sh tools/deps.sh build test
	meson setup $(ASAN) --buildtype=debugoptimized -Db_sanitize=address,undefined >/dev/null

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(ASAN)
