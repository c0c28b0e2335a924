#!/bin/sh
# The end-to-end suite with every run of `restore` in the hardened container: read-only root, no capabilities, no new
# privileges, 64 processes, 128 MiB; as root and as an ordinary user with the socket's group. A sandbox violation fails the
# test in which it happens (tests/e2e/harness.py). Ends in `N passed, N failed`. Arguments: modules, instead of all.
#
# Left out are modules that have no run of the whole program to its end, so that nothing of them would be in the container:
#   of one worker, driven by the test: fetcher unpacker stager docker_agent databases_agent lying_engine age_vectors corpora
#     points sql_lexer journal_order
#   that exchange one binary for another: lying_workers compromised kill faults engine_faults mutants
#   that look into processes of the host, or signal them: confinement secrets lock_owner
#   about the image itself, in hardened containers anyway: container image
# and of the others the tests that are named in `outside` below, for the same reasons.
set -eu

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# Two halves, so that both identities are at work at once; what has a project of a fixed name is in one of them alone.
FIRST='volumes integrity databases physical s3 plan proxy'
SECOND='archives formats choice moves audit signatures encrypted space command s3_faults undo_dump recovery metrics scope'
[ $# -eq 0 ] || { FIRST=$*; SECOND=; }
cd "$ROOT"
tests/env/install.sh build test
tests/env/docker.sh start
tests/env/rgw.sh start
tests/env/image.sh
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Tests of a module that stay outside, as pytest's -k has them.
outside() {
	case $1 in
	# sizes of files, signals and pairs of runs are of processes of the host; the log that is changed in every way is made by
	# the stacks of check-kill
	audit) echo 'of_a_real_log or no_room or killed_run or one_run_at_a_time' ;;
	# the unpacker alone; a passphrase takes 260 MiB, the container has 128
	encrypted) echo 'is_decrypted or recipients or chunks or refused or cannot_be_decrypted or identity_files or asked_for or holds_no_file or passphrase' ;;
	signatures) echo 'minisign_is_taken or any_other or flipped or ends_with_its_pass or small_objects' ;;
	# held at a message by a build of its own; engines of their own, which have no such image
	space) echo 'meanwhile or swapped or engines_disk' ;;
	scope) echo a_recovery ;;
	# a terminal, and the binaries elsewhere
	command) echo 'terminal or libexec' ;;
	# killed in the midst
	undo_dump) echo 'killed_while or is_gone' ;;
	recovery) echo 'signal or ctrl_c or killed or recovers_by_itself or a_kill or holds_the_lock' ;;
	proxy) echo 'documents or all_else or nothing_follows or without_close' ;;
	*) echo no_such_test ;;
	esac
}

# run IDENTITY MODULE...
run() {
	identity=$1
	shift
	for module in "$@"; do
		RESTORE_RUNNER=$identity /usr/bin/python3 -m pytest -q --strict-markers -p no:cacheprovider \
			-k "not ($(outside "$module"))" "tests/e2e/test_$module.py" >"$logs/log.$identity" 2>&1 || true
		grep -vE '^[.F]+ *\[|^$' "$logs/log.$identity" | sed '$d'
		last=$(tail -1 "$logs/log.$identity")
		echo "$identity, $module: $last" | tee -a "$logs/results"
	done
}

# shellcheck disable=SC2086 # lists of modules
{
	run container $FIRST &
	run container-user $SECOND
	wait
	run container $SECOND &
	run container-user $FIRST
	wait
}
count() { sed -nE "s/.*[ ,]([0-9]+) $1.*/\1/p" "$logs/results" | awk '{ sum += $1 } END { print sum + 0 }'; }
passed=$(count passed)
failed=$(($(count failed) + $(count error) + $(grep -cvE '[0-9] passed' "$logs/results" || true)))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
