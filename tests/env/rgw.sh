#!/bin/bash
# Gives the tests a real S3 server that verifies signatures: Ceph RGW on one
# monitor and one OSD, with cephx, all state under one folder.
#
#   rgw.sh start     returns when S3 answers; an answering one is used again
#   rgw.sh stop      ends the daemons and deletes their state
#
# How to reach it is written to /run/restore-tests/rgw.env (NAME=value lines
# with AWS's own variable names, and RGW_*). It listens on every address, so
# that containers reach it through Docker's bridge: HTTP on 7480, HTTPS on 7443.
#
# RGW_STORE=bluestore keeps objects on disk instead of in memory (large ones);
# where it is set, a server with another store is replaced and its data gone.
set -euo pipefail

STATE_DIR=${RGW_STATE:-/var/tmp/restore-tests/rgw}
RUN_DIR=${RESTORE_TESTS_RUN:-/run/restore-tests}
ENV_FILE=$RUN_DIR/rgw.env
STORE=${RGW_STORE:-memstore}
BLUESTORE_BYTES=${RGW_BLUESTORE_BYTES:-42949672960}
HTTP_PORT=7480
HTTPS_PORT=7443
MON_PORT=16789
DNS_NAME=rgw.test
REGION=us-east-1
ACCESS_KEY=RESTORETESTACCESSKEY
SECRET_KEY='restore/test+secret=key0123456789abcdefg'
START_TIMEOUT=60
CONF=$STATE_DIR/ceph.conf
KEYRING=$STATE_DIR/keyring

ceph_admin() {
	ceph -c "$CONF" "$@"
}

# Waits up to $1 seconds until the command in the other arguments succeeds.
wait_until() {
	local tries=$(($1 * 5))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || { echo "rgw.sh: timeout: $*" >&2; return 1; }
		sleep 0.2
	done
}

bridge_address() {
	ip -4 -o addr show docker0 2>/dev/null | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | grep . ||
		echo 127.0.0.1
}

has_wanted_store() {
	[ -z "${RGW_STORE-}" ] || [ "$RGW_STORE" = "$(cat "$STATE_DIR/store")" ]
}

refuse_used_ports() {
	if ss -Hltn "sport = :$HTTP_PORT or sport = :$HTTPS_PORT or sport = :$MON_PORT" | grep -q .; then
		echo "rgw.sh: port $HTTP_PORT, $HTTPS_PORT or $MON_PORT is in use by another program" >&2
		return 1
	fi
}

answers() {
	[ -e "$STATE_DIR/ready" ] &&
		has_wanted_store &&
		curl -s -o /dev/null --noproxy '*' --max-time 3 "http://127.0.0.1:$HTTP_PORT/"
}

# Prints the ids of our daemons that run. They are known by the state folder
# in their command line, since a process id may have been used again.
our_pids() {
	local file pid
	for file in "$STATE_DIR"/*.pid; do
		pid=$(cat "$file" 2>/dev/null) || continue
		if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$CONF"; then
			echo "$pid"
		fi
	done
}

write_conf() {
	cat >"$CONF" <<-CONF
		[global]
		fsid = $1
		mon_host = v2:127.0.0.1:$MON_PORT
		public_network = 127.0.0.0/8
		auth_cluster_required = cephx
		auth_service_required = cephx
		auth_client_required = cephx
		keyring = $KEYRING
		run_dir = $STATE_DIR
		admin_socket = $STATE_DIR/\$name.asok
		log_file = $STATE_DIR/\$name.log
		crash_dir = $STATE_DIR/crash
		setuser_match_path =
		osd_pool_default_size = 1
		osd_pool_default_min_size = 1
		osd_pool_default_pg_num = 1
		osd_pool_default_pgp_num = 1
		osd_pool_default_pg_autoscale_mode = off
		osd_crush_chooseleaf_type = 0
		mon_allow_pool_size_one = true
		mon_max_pg_per_osd = 1000
		mon_data_avail_warn = 1
		mon_data_avail_crit = 1
		paxos_propose_interval = 0.05
		osd_objectstore = $STORE
		memstore_device_bytes = 8589934592
		bluestore_block_size = $BLUESTORE_BYTES
		osd_class_dir = $(dirname "$(find /usr/lib -name libcls_rgw.so | head -1)")
		osd_memory_target = 939524096

		[mon.a]
		mon_data = $STATE_DIR/mon

		[osd.0]
		osd_data = $STATE_DIR/osd

		[client.rgw]
		rgw_frontends = beast port=$HTTP_PORT ssl_port=$HTTPS_PORT ssl_certificate=$STATE_DIR/server.pem
		rgw_dns_name = $DNS_NAME
		rgw_thread_pool_size = 64
		rgw_run_sync_thread = false
		rgw_enable_usage_log = false
	CONF
}

make_keyring() {
	ceph-authtool -C "$KEYRING" -g -n mon. --cap mon 'allow *'
	ceph-authtool "$KEYRING" -g -n client.admin \
		--cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
	ceph-authtool "$KEYRING" -g -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
	ceph-authtool "$KEYRING" -g -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
} >/dev/null

# A test CA and a certificate for every name by which tests call the server.
make_certificate() {
	cd "$STATE_DIR"
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=restore tests CA' \
		-keyout ca.key -out ca.pem
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$DNS_NAME" -keyout server.key -out server.csr
	printf 'subjectAltName=DNS:localhost,DNS:%s,DNS:*.%s,IP:127.0.0.1,IP:172.17.0.1,IP:%s\n' \
		"$DNS_NAME" "$DNS_NAME" "$(bridge_address)" >server.ext
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
		-extfile server.ext -out server.crt
	cat server.key server.crt >server.pem
} 2>/dev/null

# Starts daemon $1 in the background and notes its process id.
daemon() {
	local name=$1
	shift
	setsid "$@" -f -c "$CONF" >"$STATE_DIR/$name.out" 2>&1 </dev/null 9>&- &
	echo $! >"$STATE_DIR/$name.pid"
}

start_mon() {
	monmaptool --create --fsid "$1" --addv a "[v2:127.0.0.1:$MON_PORT]" "$STATE_DIR/monmap" >/dev/null
	ceph-mon -c "$CONF" --mkfs -i a --monmap "$STATE_DIR/monmap" --keyring "$KEYRING"
	daemon mon ceph-mon -i a
	wait_until "$START_TIMEOUT" ceph_admin --connect-timeout 5 mon stat
}

# The OSD is created and formatted with one and the same UUID: with two it
# never comes up.
start_osd() {
	local uuid
	uuid=$(cat /proc/sys/kernel/random/uuid)
	ceph_admin osd new "$uuid" >/dev/null
	ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$uuid" >"$STATE_DIR/mkfs.out" 2>&1
	daemon osd ceph-osd -i 0
	ceph_admin auth import -i "$KEYRING" 2>/dev/null
	wait_until "$START_TIMEOUT" osd_is_up
}

osd_is_up() {
	ceph_admin osd stat | grep -q '1 up'
}

start_rgw() {
	daemon rgw radosgw -n client.rgw
	wait_until "$START_TIMEOUT" curl -sf -o /dev/null --noproxy '*' "http://127.0.0.1:$HTTP_PORT/"
}

create_user() {
	radosgw-admin -c "$CONF" user create --uid restore-tests --display-name 'restore tests' \
		--access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY" >/dev/null 2>"$STATE_DIR/user.err"
}

write_env() {
	local address
	address=$(bridge_address)
	cat >"$ENV_FILE" <<-ENV
		AWS_ACCESS_KEY_ID=$ACCESS_KEY
		AWS_SECRET_ACCESS_KEY=$SECRET_KEY
		AWS_DEFAULT_REGION=$REGION
		AWS_ENDPOINT_URL=http://$address:$HTTP_PORT
		RGW_TLS_ENDPOINT_URL=https://$address:$HTTPS_PORT
		RGW_CA_BUNDLE=$STATE_DIR/ca.pem
		RGW_DNS_NAME=$DNS_NAME
		RGW_HTTP_PORT=$HTTP_PORT
		RGW_HTTPS_PORT=$HTTPS_PORT
	ENV
}

stop() {
	local pid pids
	pids=$(our_pids)
	for pid in $pids; do
		kill -KILL "$pid"
	done
	for pid in $pids; do
		wait_until 20 test ! -d "/proc/$pid"
	done
	rm -rf "$STATE_DIR" "$ENV_FILE"
}

start() {
	local fsid
	if answers; then
		write_env
		return
	fi
	stop
	refuse_used_ports
	install -d -m 755 "$STATE_DIR"
	install -d "$STATE_DIR/mon" "$STATE_DIR/osd" "$STATE_DIR/crash"
	fsid=$(cat /proc/sys/kernel/random/uuid)
	write_conf "$fsid"
	make_keyring
	make_certificate
	start_mon "$fsid"
	start_osd
	start_rgw
	create_user
	write_env
	echo "$STORE" >"$STATE_DIR/store"
	touch "$STATE_DIR/ready"
}

mkdir -p "$RUN_DIR"
exec 9>"$RUN_DIR/rgw.lock"
flock 9
case ${1-} in
start) start ;;
stop) stop ;;
*) echo 'usage: rgw.sh start|stop' >&2; exit 2 ;;
esac
