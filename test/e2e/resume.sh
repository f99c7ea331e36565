#!/bin/bash
# Clients that go on with a download, or load it in pieces, in front of a filter with an origin: curl, wget and aria2.
#
#   npm run build && test/e2e/resume.sh
#
# The clients come from the distribution (Debian 12: curl, wget, aria2). Where they are missing they are installed, which takes root
# and apt-get; where that can't be done the script fails, or with ALLOW_MISSING_CLIENTS=1 says that nothing was tried.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-resume.XXXXXX")
. test/e2e/lib.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

# The command of the package aria2 has another name.
if ! ensure_packages curl wget || ! { command -v aria2c >/dev/null || { [ "$(id -u)" = 0 ] && install_packages aria2 >"$T/install.log" 2>&1; }; }; then
  echo "SKIPPED: no curl, wget and aria2 on this machine, and they can't be installed: nothing was tried"
  [ "${ALLOW_MISSING_CLIENTS:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_CLIENTS=1 makes that a success)"
  exit 1
fi

[ -f dist/index.js ] || npm run build
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export HOME=$T/home
mkdir -p "$HOME"

# 24 blocks of 1 MiB, and a little.
BLOCKS=25
head -c $((24 * 1048576 + 12345)) /dev/urandom >"$T/file"
ORIGIN=$(free_port)
PORT=$(free_port)
: >"$T/asked"
start filter node test/e2e/filter-server.mjs "$ORIGIN" "$PORT" "$T/cache" "$T/file" "$T/asked"
wait_port "$ORIGIN" filter
wait_port "$PORT" filter
URL=http://127.0.0.1:$PORT

# begun NAME: what somebody has of it who was interrupted, 10 MB and something
begun() {
  head -c 10000001 "$T/file" >"$T/$1"
}

# twice PATH: blocks that the origin was asked for more than once; requests for the whole are of all of them
twice() {
  grep "^GET $1 " "$T/asked" | sed 's/.*bytes=//' | awk -F- -v last=$((BLOCKS - 1)) '
    {
      from = $1 == "" ? 0 : int($1 / 1048576)
      to = $2 == "" ? last : int($2 / 1048576)
      if (to > last) to = last
      for (i = from; i <= to; i++) if (++times[i] > 1) count++
    }
    END { print count + 0 }'
}

run() { # WHAT COMMAND...
  local what=$1
  shift
  if timeout 60 "$@" >"$T/run.log" 2>&1; then pass "$what"; else fail "$what" "$(tail -n 3 "$T/run.log")"; fi
}

# --- with nothing stored, one file a client -------------------------------------------------------------------------------------------

begun by-curl
run 'curl -C - goes on' curl -sSf -C - -o "$T/by-curl" "$URL/curl"
same 'with the right bytes' "$T/file" "$T/by-curl"
is 'no block was asked for twice' 0 "$(twice /curl)"

begun by-wget
run 'wget -c goes on' wget -q -c -O "$T/by-wget" "$URL/wget"
same 'with the right bytes' "$T/file" "$T/by-wget"
is 'no block was asked for twice' 0 "$(twice /wget)"

# It asks for the size first: one that asks for the whole has a fill begin, besides which what is far ahead is fetched by itself.
ARIA=(aria2c --no-conf --use-head=true --quiet --allow-overwrite=true --file-allocation=none -x8 -s8 -k1M)
run 'aria2c loads it over eight connections' "${ARIA[@]}" -d "$T" -o by-aria2 "$URL/aria2"
same 'with the right bytes' "$T/file" "$T/by-aria2"
is 'no block was asked for twice' 0 "$(twice /aria2)"

# --- two at a time, and once more -------------------------------------------------------------------------------------------------------

"${ARIA[@]}" -d "$T" -o first "$URL/both" >"$T/first.log" 2>&1 &
FIRST=$!
run 'two of them at a time' "${ARIA[@]}" -d "$T" -o second "$URL/both"
wait "$FIRST" || fail 'the first of them' "exit $?"
same 'one has the right bytes' "$T/file" "$T/first"
same 'so has the other' "$T/file" "$T/second"
is 'no block was asked for twice' 0 "$(twice /both)"

for path in curl wget aria2 both; do
  # What is missing of it now comes with this.
  run "/$path as a whole" curl -sSf -o "$T/whole" "$URL/$path"
  same 'has the right bytes' "$T/file" "$T/whole"
  is 'each block came once' 0 "$(twice "/$path")"
done
sleep 0.5
BEFORE=$(wc -l <"$T/asked")
http "$URL/curl"
matches 'it is a hit then' '^cache-filter; hit$' "$(header cache-status)"
begun again
run 'what is stored is gone on with, too' wget -q -c -O "$T/again" "$URL/wget"
same 'with the right bytes' "$T/file" "$T/again"
is 'without the origin' "$BEFORE" "$(wc -l <"$T/asked")"

stop filter
is 'it stops when it is asked to' 0 "$STOPPED_WITH"
summary
