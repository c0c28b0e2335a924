# Builds the supervisor and its workers into build/bin; see README.md for what the targets show.
CC = gcc
BUILD = build
PREFIX = /usr/local
DESTDIR =
percent = %
VERSION = 0.1.0

WARNINGS = -Wall -Wextra -Wconversion -Wshadow -Werror
HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
INCLUDES = -Iinclude -Ipolicies -Icommon -I.
CFLAGS = -O2 -g
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DRESTORE_VERSION='"$(VERSION)"' $(WARNINGS) $(HARDENING) $(INCLUDES) $(CFLAGS) -MMD -MP
LINK = $(CC) $(CFLAGS) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--gc-sections

COMMON = messages ipc io log sandbox identity
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(1)/*.c))) $(COMMON:%=$(BUILD)/obj/common/%.o)

BINARIES = restore restore-fetcher restore-unpacker restore-docker-agent restore-stager restore-stretcher
PROGRAMS = $(BINARIES:%=$(BUILD)/bin/%)

all: $(PROGRAMS) $(BUILD)/bin/restore-stager.tar

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/bin/restore $(BUILD)/policy/probe-restore $(BUILD)/compromised/restore: $(call objects,supervisor) $(BUILD)/obj/common/exit_codes.o $(BUILD)/obj/common/hash.o
	@mkdir -p $(@D)
	$(LINK) $(PROBE) -o $@ $^ -lseccomp -lcjson -lcrypto

$(BUILD)/bin/restore-fetcher $(BUILD)/policy/probe-fetcher $(BUILD)/compromised/restore-fetcher $(BUILD)/faults/restore-fetcher: $(call objects,workers/fetcher)
	@mkdir -p $(@D)
	$(LINK) $(PROBE) -o $@ $^ -lcurl -lssl -lcrypto -lexpat -lseccomp

# What the archive makes the static libraries allocate is counted by workers/unpacker/heap.c.
COUNTED_HEAP = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup,--wrap=__archive_errx
# libarchive's tar objects alone: its shared library draws in libxml2 and ICU.
$(BUILD)/bin/restore-unpacker $(BUILD)/policy/probe-unpacker $(BUILD)/compromised/restore-unpacker $(BUILD)/faults/restore-unpacker: $(call objects,workers/unpacker)
	@mkdir -p $(@D)
	$(LINK) $(PROBE) $(COUNTED_HEAP) -o $@ $^ -Wl,-Bstatic -larchive -lzstd -lz -llzma -Wl,-Bdynamic -lcrypto -lseccomp

$(BUILD)/bin/restore-docker-agent $(BUILD)/policy/probe-docker-agent $(BUILD)/compromised/restore-docker-agent $(BUILD)/faults/restore-docker-agent: $(call objects,workers/docker_agent)
	@mkdir -p $(@D)
	$(LINK) $(PROBE) -o $@ $^ -lcurl -lcjson -lseccomp

$(BUILD)/bin/restore-stretcher $(BUILD)/policy/probe-stretcher $(BUILD)/compromised/restore-stretcher $(BUILD)/faults/restore-stretcher: $(call objects,workers/stretcher)
	@mkdir -p $(@D)
	$(LINK) $(PROBE) -o $@ $^ -lcrypto -lseccomp

# Static: it is the only file of the image that the docker-agent imports.
$(BUILD)/bin/restore-stager $(BUILD)/policy/probe-stager $(BUILD)/compromised/restore-stager $(BUILD)/faults/restore-stager: $(call objects,workers/stager)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections $(PROBE) -o $@ $^ -larchive -lacl -lattr -lseccomp -lcrypto

# Each process once more, by the recipes above, with tests/policy/probe.c around its lock-down: see check-sandbox.
PROBES = $(patsubst restore-%,$(BUILD)/policy/probe-%,$(filter restore-%,$(BINARIES))) $(BUILD)/policy/probe-restore
$(PROBES): PROBE = -Wl,--wrap=sandbox_lock,--wrap=channel_send
$(PROBES): $(BUILD)/obj/tests/policy/probe.o

probes: $(PROBES)

# Each process once more, the same way, hostile after its lock-down: see check-compromised.
COMPROMISED = $(BINARIES:%=$(BUILD)/compromised/%)
$(COMPROMISED): PROBE = -Wl,--wrap=sandbox_lock,--wrap=channel_send
$(COMPROMISED): $(BUILD)/obj/tests/compromised/compromised.o

compromised: $(COMPROMISED)

# The image that the docker-agent imports: the stager and the places of its mounts, the same bytes for the same stager.
$(BUILD)/bin/restore-stager.tar: $(BUILD)/bin/restore-stager
	@mkdir -p $(BUILD)/stager-image/mounts $(BUILD)/stager-image/run-volume
	cp $< $(BUILD)/stager-image/
	tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=755 --mtime=@0 --sort=name -C $(BUILD)/stager-image \
		-cf $@ mounts restore-stager run-volume

-include tests/unit/units.mk
UNITS = $(patsubst UNIT_%,%,$(filter UNIT_%,$(.VARIABLES)))

.SECONDEXPANSION:
$(UNITS:%=$(BUILD)/unit/%): $(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $$(patsubst $$(percent).c,$(BUILD)/obj/$$(percent).o,$$(UNIT_$$*))
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBS_$*) -lcmocka

units: $(UNITS:%=$(BUILD)/unit/%)

check-unit: $(UNITS:%=$(BUILD)/unit/%)
	@failed=0; for unit in $^; do $$unit || failed=1; done; exit $$failed

# The stager itself stays behind: the docker-agent imports it as restore-stager.tar.
WORKERS = $(filter-out %/restore %/restore-stager,$(PROGRAMS))
LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/restore

install: $(PROGRAMS) $(BUILD)/bin/restore-stager.tar
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/bin/restore
	install -D -t $(LIBEXEC) $(WORKERS)
	install -D -m 644 -t $(LIBEXEC) $(BUILD)/bin/restore-stager.tar

-include tests/kill/kill.mk
-include tests/faults/faults.mk

-include tests/fuzz/fuzz.mk
FUZZERS = $(patsubst FUZZ_%,%,$(filter FUZZ_fuzz_%,$(.VARIABLES)))
TIME = 60
FUZZ_FLAGS = -std=c17 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(INCLUDES)

$(FUZZERS:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: tests/fuzz/%.c $$(FUZZ_$$*)
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -o $@ $^ $(FUZZLIBS_$*)

fuzzers: $(FUZZERS:%=$(BUILD)/fuzz/%)

# TIME: seconds for all targets together.
fuzz:
	tests/env/install.sh build lint
	$(MAKE) fuzzers
	tests/fuzz/run.sh $(BUILD)/fuzz $(TIME) $(FUZZERS)

# Every system call in every worker after its lock-down, against its policy.
check-sandbox:
	tests/env/install.sh build test
	$(MAKE) probes
	/usr/bin/python3 tests/policy/check_sandbox.py $(BUILD)/policy

# A compromised process of each kind, and what stops it. ATTACKS: parts of their names, to try these alone.
check-compromised:
	tests/env/install.sh build test
	$(MAKE) all compromised
	/usr/bin/python3 tests/compromised/check_compromised.py $(ATTACKS)

# README's table of requests to the Engine and the proxy's allowlist.
engine-requests:
	/usr/bin/python3 tests/policy/engine_requests.py

# For finding causes: the suite that counts runs the shipped binaries.
sanitize:
	$(MAKE) BUILD=$(BUILD)/sanitize CC=clang \
	    CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" units
	for unit in $(BUILD)/sanitize/unit/*; do $$unit || exit 1; done

SOURCES = $(wildcard common/*.[ch] include/*.h supervisor/*.[ch] workers/*/*.[ch] tests/unit/*.c tests/fuzz/*.c tests/policy/*.c \
	tests/compromised/*.c)

# One file a time: clang-tidy 14 loses sight of va_lists in all but the first.
lint:
	tests/env/install.sh build test lint
	clang-format --dry-run -Werror $(SOURCES)
	printf '%s\n' $(filter %.c,$(filter-out tests/%,$(SOURCES))) | xargs -P"$$(nproc)" -I{} \
		clang-tidy --quiet {} -- -std=c17 -D_GNU_SOURCE -DRESTORE_VERSION='""' $(INCLUDES)
	tests/policy/lint.py policies/*.def
	shellcheck .ci/run $(wildcard tests/*/*.sh)

# Everything on real parts; installs and starts what it needs. TESTS: arguments for pytest.
check:
	tests/env/check.sh $(TESTS)

# Every cut and every flipped bit of small archives; hostile archives and libarchive's and zstd's own; each control taken
# out in turn, to see its test fail. `check` runs samples of them.
UNPACKER = $(abspath $(BUILD))/bin/restore-unpacker

check-integrity:
	tests/env/install.sh build test
	$(MAKE) $(BUILD)/bin/restore-unpacker
	UNPACKER=$(UNPACKER) /usr/bin/python3 tests/integrity/damage_points.py

check-hostile:
	tests/env/install.sh build test
	$(MAKE) $(BUILD)/bin/restore-unpacker
	UNPACKER=$(UNPACKER) /usr/bin/python3 tests/hostile/hostile.py

# Every line of a real audit log changed in every way.
check-audit:
	tests/audit/run.sh

# CONTROLS: parts of names, to try these alone.
check-mutants:
	tests/mutants/check.sh $(CONTROLS)

# Faults on the engine's side, with a dockerd of its own. FAULTS: parts of names, to try these alone.
check-engine-faults:
	tests/engine/run.sh $(FAULTS)

image:
	tests/env/image.sh

# What is in the image, file by file, and that it is built twice the same.
check-image:
	tests/image/check.sh

# The end-to-end suite in the hardened container, as root and as an ordinary user. Not part of `check`.
check-hardened:
	tests/image/hardened.sh $(MODULES)

# Against other tools, side by side; into build/bench. Not part of `check`.
bench:
	tests/bench/run.sh

bench-quick:
	tests/bench/run.sh --quick

demo:
	tests/env/install.sh test
	/usr/bin/python3 tests/demo/demo.py

-include $(shell find $(BUILD)/obj -name '*.d' -type f 2>/dev/null)

clean:
	rm -rf $(BUILD)

.PHONY: all clean check engine-requests check-audit check-compromised compromised check-engine-faults check-integrity check-hostile check-image check-hardened check-mutants check-sandbox check-unit probes units fuzz fuzzers sanitize lint install image demo bench bench-quick
