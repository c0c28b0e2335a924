#!/bin/sh
# Gives the tests a Docker Engine: uses the one that answers, else starts
# Debian's dockerd and remembers that it is ours.
#
#   docker.sh start     returns when the engine answers
#   docker.sh stop      stops the engine, if and only if `start` started it
set -eu

RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
PID_FILE=$RUN_DIR/dockerd.pid
LOG_FILE=$RUN_DIR/dockerd.log
START_TIMEOUT=60
STOP_TIMEOUT=60

answers() {
	docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# The process that `start` started; its name is compared because process ids
# are used again.
our_pid() {
	pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 1
	echo "$pid"
}

# Waits up to $1 seconds until the command in the other arguments succeeds.
wait_until() {
	tries=$(($1 * 5))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.2
	done
}

is_gone() {
	[ ! -d "/proc/$1" ]
}

start() {
	if answers; then
		return 0
	fi
	if ! our_pid >/dev/null; then
		setsid /usr/sbin/dockerd >>"$LOG_FILE" 2>&1 </dev/null 9>&- &
		echo $! >"$PID_FILE"
	fi
	if ! wait_until "$START_TIMEOUT" answers; then
		echo "docker.sh: no engine after ${START_TIMEOUT} s; see $LOG_FILE" >&2
		tail -5 "$LOG_FILE" >&2
		return 1
	fi
}

stop() {
	pid=$(our_pid) || { rm -f "$PID_FILE"; return 0; }
	kill "$pid"
	if ! wait_until "$STOP_TIMEOUT" is_gone "$pid"; then
		echo "docker.sh: dockerd ($pid) does not end" >&2
		return 1
	fi
	rm -f "$PID_FILE"
}

mkdir -p "$RUN_DIR"
exec 9>"$RUN_DIR/docker.lock"
flock 9
case ${1-} in
start) start ;;
stop) stop ;;
*) echo "usage: docker.sh start|stop" >&2; exit 2 ;;
esac
