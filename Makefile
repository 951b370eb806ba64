# make demo, make demo-rauc and make test do all their set-up on a fresh Debian 12, as root (packages, loop devices).
PREFIX ?= /usr
DESTDIR ?=
LUA_VERSION ?= 5.3
UNITDIR ?= $(PREFIX)/lib/systemd/system
BINARY ?= build/tegra-ota
GO ?= $(shell .ci/go)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
FUZZTIME ?= 30s
REF ?= HEAD
# What the executables may add to an image: stripped, arm64, in bytes (8 MiB).
BUDGET = 8388608

LDFLAGS = -s -w -X github.com/tegra-ota/tegra-ota/internal/cli.Version=$(VERSION)
GOBUILD = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
LIBEXEC = $(PREFIX)/libexec/tegra-ota
BUSNAME = io.github.tegra_ota.SlotManager
# Executables of the device, all one binary. The last three are RAUC's handlers, which it runs without arguments.
NAMES = tegra-bup tegra-image tegra-bootctl tegra-boot-verify tegra-boot-handler tegra-slotd \
	tegra-rauc-pre-install tegra-rauc-post-install tegra-rauc-system-info

.PHONY: all setup build demo demo-rauc test test-vm static oldest unit size fuzz bench install install-tree install-swdesc dist clean
all: build

setup:
	@.ci/setup

build:
	@test -n "$(GO)" || { echo "no Go 1.22 or newer was found; run make setup" >&2; exit 1; }
	@mkdir -p build
	$(GOBUILD) -o build/ ./cmd/...
	@for name in $(NAMES); do ln -sf tegra-ota build/$$name; done

demo: setup
	@$(MAKE) --no-print-directory build
	@examples/swupdate/demo.sh build

demo-rauc: setup
	@$(MAKE) --no-print-directory build
	@examples/rauc/demo.sh build

test: setup
	@$(MAKE) --no-print-directory static oldest unit size

# The same rules on a real kernel and real UEFI firmware, in QEMU; not part of make test.
test-vm: setup
	@GO='$(GO)' vm/run.sh

static:
	@GO='$(GO)' .ci/static

# Yocto scarthgap builds with Go 1.22.12; the tests run with the Go that is installed.
oldest:
	GOTOOLCHAIN=go1.22.12 $(GO) build ./...
	GOTOOLCHAIN=go1.22.12 $(GO) vet ./...

# What the power-cut sweeps counted and what was measured is printed last: go test is silent about a package that passes. Times are
# taken once more when nothing else runs. -count=1, because a result is only cached with every file that the test looked at, and
# the sweeps look at millions: go test then spends minutes and gigabytes on the list.
unit:
	$(GO) vet ./...
	@mkdir -p build/cuts
	TEGRA_OTA_CUTS='$(CURDIR)/build/cuts' $(GO) test -count=1 ./...
	TEGRA_OTA_CUTS='$(CURDIR)/build/cuts' $(GO) test -count=1 -run '^TestTiming$$' ./rauc
	TEGRA_OTA_CUTS='$(CURDIR)/build/cuts' $(GO) test -count=1 -run '^TestSpeed$$' ./cmd/swdesc
	@cat build/cuts/*.txt

size:
	@mkdir -p build/arm64
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o build/arm64/ ./cmd/...
	@bytes=$$(stat -c %s build/arm64/tegra-ota); \
	echo "tegra-ota, arm64, stripped: $$bytes bytes of $(BUDGET)"; \
	test "$$bytes" -le $(BUDGET) || { echo "tegra-ota is larger than its budget of 8 MiB" >&2; exit 1; }

# Every fuzz target for FUZZTIME; go test takes one target of one package at a time.
fuzz: setup
	@grep -rlE --include='*_test.go' '^func Fuzz' backends cmd dbusapi formats handlers internal rauc swdesc | xargs -n 1 dirname | sort -u | \
	while read -r dir; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go | while read -r target; do \
			echo "$$dir $$target"; \
			$(GO) test "./$$dir" -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) </dev/null || exit 1; \
		done || exit 1; \
	done

# The last line is swdesc's aim, on 2 GiB of images.
bench: setup
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test -count=1 -v -run '^TestSpeed$$' ./cmd/swdesc -size 2048

# One binary for the device; its names are relative links, so that an image can be assembled anywhere. A link named
# nvbootctrl is left to the integrator: found first in PATH, it takes NVIDIA's place for everything on the device.
install: build
	@$(MAKE) --no-print-directory install-tree

# The same with a binary that somebody else has built, as the Yocto recipe does: nothing here needs Go.
install-tree:
	install -D -m 755 $(BINARY) $(DESTDIR)$(LIBEXEC)/tegra-ota
	for name in $(NAMES); do ln -sf tegra-ota $(DESTDIR)$(LIBEXEC)/$$name; done
	install -d $(DESTDIR)$(PREFIX)/bin
	for name in tegra-bootctl tegra-bup; do ln -sf ../libexec/tegra-ota/$$name $(DESTDIR)$(PREFIX)/bin/$$name; done
	install -D -m 644 handlers/swupdate/swupdate_handlers.lua \
		$(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)/swupdate_handlers.lua
	sed -i 's,"/usr/libexec/tegra-ota","$(LIBEXEC)",' $(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)/swupdate_handlers.lua
	find init/systemd -type f | while read -r unit; do \
		to="$(DESTDIR)$(UNITDIR)/$${unit#init/systemd/}"; \
		install -D -m 644 "$$unit" "$$to" && sed -i 's,/usr/libexec/tegra-ota,$(LIBEXEC),g' "$$to" || exit 1; \
	done
	install -D -m 644 init/tmpfiles.d/tegra-ota.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tegra-ota.conf
	install -D -m 644 init/sysusers.d/tegra-ota.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/tegra-ota.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dbus-1/system.d init/dbus/$(BUSNAME).conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dbus-1/system-services init/dbus/$(BUSNAME).service
	sed -i 's,/usr/libexec/tegra-ota,$(LIBEXEC),g' $(DESTDIR)$(PREFIX)/share/dbus-1/system-services/$(BUSNAME).service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/dbus-1/interfaces dbusapi/*.xml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/polkit-1/actions init/polkit/io.github.tegra-ota.policy
	install -d -m 755 $(DESTDIR)/etc/tegra-ota/health.d
	install -m 644 examples/swupdate/config.toml $(DESTDIR)/etc/tegra-ota/config.toml.example
	install -d $(DESTDIR)$(PREFIX)/share/doc/tegra-ota/examples/swupdate
	install -m 644 examples/swupdate/sw-description examples/swupdate/swupdate.cfg \
		$(DESTDIR)$(PREFIX)/share/doc/tegra-ota/examples/swupdate
	find examples/rauc examples/dbus -type f ! -name demo.sh | while read -r file; do \
		to="$(DESTDIR)$(PREFIX)/share/doc/tegra-ota/$$file"; mode=644; test ! -x "$$file" || mode=755; \
		install -D -m $$mode "$$file" "$$to" && sed -i 's,/usr/libexec/tegra-ota,$(LIBEXEC),g' "$$to" || exit 1; \
	done

# The build host's tool, which no device needs.
install-swdesc: build
	install -D -m 755 build/swdesc $(DESTDIR)$(PREFIX)/bin/swdesc
	find examples/release -type f | while read -r file; do \
		install -D -m 644 "$$file" "$(DESTDIR)$(PREFIX)/share/doc/tegra-ota/$$file" || exit 1; \
	done

# The source tarball of the commit REF with the modules in vendor/, for builds without a network; the same bytes whenever it is made.
dist:
	@GO='$(GO)' yocto/dist '$(VERSION)' '$(REF)'

clean:
	rm -rf build
