# Test builds of the workers in which one call can be made to fail (faults.c), with the shipped policies.
FAULTS = $(BUILD)/faults
FAULT_WORKERS = unpacker fetcher docker-agent stager stretcher
FAULT_WRAPS = read write malloc calloc realloc syscall pread pwrite copy_file_range ftruncate mkdirat mknodat symlinkat \
	linkat readlinkat renameat renameat2 unlinkat fchmod fchown fchownat utimensat futimens fsetxattr fgetxattr flistxattr \
	fdatasync fsync syncfs lseek fstat fstatat

$(BUILD)/obj/tests/faults/wrapped.o: tests/faults/faults.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DWRAPPED -c -o $@ $<

$(BUILD)/obj/tests/faults/faults.o: ALL_CFLAGS += -fno-builtin

$(FAULT_WORKERS:%=$(FAULTS)/restore-%): PROBE = -Wl,--wrap=sandbox_lock
$(FAULTS)/restore-stager: PROBE += $(FAULT_WRAPS:%=-Wl,--wrap=%)
$(FAULTS)/restore-stager: $(BUILD)/obj/tests/faults/wrapped.o
$(patsubst %,$(FAULTS)/restore-%,$(filter-out stager,$(FAULT_WORKERS))): $(BUILD)/obj/tests/faults/faults.o

# What the docker-agent imports lies beside it.
$(FAULTS)/restore-stager.tar: $(BUILD)/bin/restore-stager.tar
	@mkdir -p $(@D)
	cp $< $@

faults-build: $(FAULT_WORKERS:%=$(FAULTS)/restore-%) $(FAULTS)/restore-stager.tar

# A fault at every call of every worker. FAULT_POINTS: arguments for tests/faults/check_faults.py.
check-faults:
	tests/faults/run.sh $(FAULT_POINTS)

.PHONY: faults-build check-faults
