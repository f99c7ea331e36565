#!/bin/bash
# examples/debian-mirror.ts between apt and the archive that apt is configured with: packages downloaded twice.
#   bash test/e2e/mirror-debian.sh
# Where there is no apt, or the archive can't be reached, the script fails, or with ALLOW_MISSING_CLIENTS=1 says that nothing was tried.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-debian.XXXXXX")
. test/e2e/lib.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

SUITE=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
UPSTREAM=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
UPSTREAM=${UPSTREAM%/}
if ! command -v apt-get >/dev/null || [ ! -f "$KEYS" ] || ! curl -sf -m 20 -o /dev/null "$UPSTREAM/dists/$SUITE/InRelease"; then
  echo "SKIPPED: no apt here, or its archive '$UPSTREAM' can't be reached: nothing was tried"
  [ "${ALLOW_MISSING_CLIENTS:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_CLIENTS=1 makes that a success)"
  exit 1
fi

mkdir -p "$T/up"
: >"$T/up/asked"
UP=$(free_port)
start upstream node test/e2e/upstream.mjs "$UP" "$UPSTREAM" "$T/up"
wait_port "$UP" upstream
PORT=$(free_port)
start mirror env UPSTREAM="http://127.0.0.1:$UP" PORT="$PORT" CACHE_DIRECTORY="$T/cache" \
  node --import tsx examples/debian-mirror.ts
wait_port "$PORT" mirror
MIRROR=http://127.0.0.1:$PORT

# Two machines that have nothing yet. gzip, since that is what the mirror can look into.
machine() { # NAME
  mkdir -p "$T/$1/state/lists/partial" "$T/$1/cache/archives/partial" "$T/$1/etc" "$T/$1/out"
  touch "$T/$1/status"
  cat >"$T/$1/apt.conf" <<CONF
Dir::State "$T/$1/state";
Dir::State::status "$T/$1/status";
Dir::Cache "$T/$1/cache";
Dir::Etc::sourcelist "$T/$1/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::main "-";
Dir::Etc::parts "-";
Dir::Etc::preferencesparts "-";
APT::Sandbox::User "root";
APT::Architecture "amd64";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::CompressionTypes::Order { "gz"; };
CONF
  echo "deb [signed-by=$KEYS] $MIRROR $SUITE main" >"$T/$1/etc/sources.list"
}

apt_of() { # MACHINE ARGUMENTS...
  local name=$1
  shift
  (cd "$T/$name/out" && APT_CONFIG="$T/$name/apt.conf" apt-get "$@" >"$T/apt.log" 2>&1 </dev/null)
}

run() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then pass "$what"; else fail "$what" "$(tail -n 5 "$T/apt.log" "$T/mirror.log")"; fi
}

readable() { # FILE
  dpkg-deb --info "$1" >"$T/apt.log" 2>&1
}

asked() { # REGEX: how often the archive was asked for such a path
  grep -cE "^GET $1" "$T/up/asked" || true
}

machine one
machine two
NAMES=(hello nano tree)
run 'apt-get update' apt_of one update
run 'apt-get download' apt_of one download "${NAMES[@]}"
is 'the archive was asked for each package once' "${#NAMES[@]}" "$(asked /pool/)"
for file in "$T"/one/out/*.deb; do run "$(basename "$file") can be read" readable "$file"; done
INDEXES=$(asked '/dists/.*/by-hash/')

run 'apt-get update of another machine' apt_of two update
run 'apt-get download of another machine' apt_of two download "${NAMES[@]}"
is 'the archive was asked for no package' "${#NAMES[@]}" "$(asked /pool/)"
matches 'there are indexes by their hash' '^[1-9]' "$INDEXES"
is 'nor for an index by its hash' "$INDEXES" "$(asked '/dists/.*/by-hash/')"
is 'both got the same' '' "$(diff -r "$T/one/out" "$T/two/out")"

# --- what is not what it should be ---------------------------------------------------------------------------------------------------

echo /pool/ >"$T/up/spoil"
POOL=$(APT_CONFIG="$T/one/apt.conf" apt-get download --print-uris sed 2>/dev/null | grep -oE "$MIRROR[^']*")
http "$POOL"
matches 'a package that was changed on its way does not arrive' '^curl exit|^5' "$STATUS"
rm "$T/up/spoil"
http "$POOL"
is 'unchanged it does' 200 "$STATUS"
matches 'fetched, not from the cache' 'stored' "$(header cache-status)"

stop upstream
rm -f "$T"/two/out/*
run 'apt-get download with the archive gone' apt_of two download "${NAMES[@]}"
stop mirror
is 'the mirror stops when it is asked to' 0 "$STOPPED_WITH"
summary
