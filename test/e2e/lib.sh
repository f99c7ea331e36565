# What the end-to-end scripts have in common: assertions, servers of our own, requests. Sourced; needs $T, a directory that is ours.

PASSED=0
FAILED=0

pass() {
  PASSED=$((PASSED + 1))
  echo "PASS  $1"
}

fail() { # WHAT DETAIL
  FAILED=$((FAILED + 1))
  echo "FAIL  $1: $2"
}

is() { # WHAT EXPECTED FOUND
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected '$2', found '$3'"; fi
}

matches() { # WHAT REGEX FOUND
  if [[ $3 =~ $2 ]]; then pass "$1"; else fail "$1" "expected /$2/, found '$3'"; fi
}

same() { # WHAT FILE FILE
  if cmp -s "$2" "$3"; then pass "$1"; else fail "$1" "$(cmp "$2" "$3" 2>&1 || true)"; fi
}

summary() {
  echo
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ]
}

free_port() {
  node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); });'
}

# start NAME CMD...: a process group of its own; its output goes to $T/NAME.log
start() {
  local name=$1
  shift
  setsid "$@" >>"$T/$name.log" 2>&1 </dev/null &
  echo $! >"$T/$name.pid"
}

# stop NAME: ends the group that start() began, and no other; prints the exit code
stop() {
  local pid code=0 i
  [ -f "$T/$1.pid" ] || return 0
  pid=$(cat "$T/$1.pid")
  rm -f "$T/$1.pid"
  kill -TERM "$pid" 2>/dev/null || true
  for i in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  wait "$pid" 2>/dev/null || code=$?
  # Workers that have outlived their parent.
  kill -KILL -- "-$pid" 2>/dev/null || true
  STOPPED_WITH=$code
}

stop_all() {
  local file
  for file in "$T"/*.pid; do
    [ -f "$file" ] && stop "$(basename "$file" .pid)"
  done
  return 0
}

wait_port() { # PORT NAME
  local i
  for i in $(seq 600); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    sleep 0.1
  done
  echo "$2 does not listen on port $1; the end of its log:" >&2
  tail -n 20 "$T/$2.log" >&2
  exit 1
}

# http CURL-ARGUMENTS...: STATUS, the head in $T/head, the body in $T/body
http() {
  rm -f "$T/head" "$T/body"
  STATUS=$(curl -sS -o "$T/body" -D "$T/head" -w '%{http_code}' "$@") || STATUS="curl exit $?"
  # An empty body makes no file.
  [ -f "$T/body" ] || : >"$T/body"
}

# header NAME: the value of a field of the last answer
header() {
  sed -n "s/^$1: *//Ip" "$T/head" | tr -d '\r' | tail -n 1
}

# ensure_packages NAME...: 0 when commands of these names are there; installs Debian's packages of the same names where that can be done
ensure_packages() {
  local name missing=()
  for name; do command -v "$name" >/dev/null || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  echo "${missing[*]} missing; installing with apt-get"
  install_packages "${missing[@]}" curl >"$T/install.log" 2>&1 || { tail -n 20 "$T/install.log"; return 1; }
  for name; do command -v "$name" >/dev/null || return 1; done
}

# install_packages NAME...: with apt-get, and no server of theirs is started
install_packages() {
  local made= code=0
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    made=yes
  fi
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null || code=$?
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
  return $code
}
