# Test build of the supervisor, killable at any frame (kill_points.c), beside the shipped workers.
KILL = $(BUILD)/kill
KILL_WORKERS = $(WORKERS:$(BUILD)/bin/%=$(KILL)/%) $(KILL)/restore-stager.tar

$(KILL)/restore: $(call objects,supervisor) $(BUILD)/obj/common/exit_codes.o $(BUILD)/obj/common/hash.o $(BUILD)/obj/tests/kill/kill_points.o
	@mkdir -p $(@D)
	$(LINK) -Wl,--wrap=channel_send,--wrap=channel_receive,--wrap=sandbox_lock -o $@ $^ -lseccomp -lcjson -lcrypto

$(KILL_WORKERS): $(KILL)/%: $(BUILD)/bin/%
	@mkdir -p $(@D)
	cp $< $@.new && mv $@.new $@

kill-build: $(KILL)/restore $(KILL_WORKERS)

# Kills every process of a run at every message of it and recovers. POINTS: arguments for tests/kill/check_kill.py.
check-kill:
	tests/kill/run.sh $(POINTS)

.PHONY: kill-build check-kill
