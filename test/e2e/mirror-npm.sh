#!/bin/bash
# examples/npm-mirror.ts between npm and the registry that npm is configured with: npm ci twice, each time with nothing of its own.
#   bash test/e2e/mirror-npm.sh
# Where the registry can't be reached the script fails, or with ALLOW_MISSING_CLIENTS=1 says that nothing was tried.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-npm.XXXXXX")
. test/e2e/lib.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

UPSTREAM=$(npm config get registry 2>/dev/null)
CA=$(npm config get cafile 2>/dev/null)
[ "$CA" = null ] || export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$CA}
if ! curl -sf -m 20 -o /dev/null "${UPSTREAM%/}/ms"; then
  echo "SKIPPED: $UPSTREAM can't be reached: nothing was tried"
  [ "${ALLOW_MISSING_CLIENTS:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_CLIENTS=1 makes that a success)"
  exit 1
fi

# Nothing of the user's is used or touched.
export HOME=$T/home
mkdir -p "$HOME" "$T/up" "$T/project"
: >"$T/up/asked"

UP=$(free_port)
start upstream node test/e2e/upstream.mjs "$UP" "$UPSTREAM" "$T/up"
wait_port "$UP" upstream
PORT=$(free_port)
start mirror env UPSTREAM="http://127.0.0.1:$UP" PORT="$PORT" CACHE_DIRECTORY="$T/cache" \
  node --import tsx examples/npm-mirror.ts
wait_port "$PORT" mirror
MIRROR=http://127.0.0.1:$PORT

client() { # CACHE ARGUMENTS...: npm, with that cache
  local cache=$1
  shift
  (cd "$T/project" && npm "$@" --registry "$MIRROR" --cache "$T/$cache" --ignore-scripts --no-audit --no-fund \
    --omit-lockfile-registry-resolved=false --prefer-online >"$T/npm.log" 2>&1)
}

run() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then pass "$what"; else fail "$what" "$(tail -n 5 "$T/npm.log" "$T/mirror.log")"; fi
}

tarballs() { # how often the upstream was asked for one
  grep -c '^GET .*\.tgz$' "$T/up/asked" || true
}

cat >"$T/project/package.json" <<'JSON'
{ "name": "project", "version": "1.0.0", "private": true,
  "dependencies": { "express": "^4.21.0" }, "devDependencies": { "eslint": "^8.57.0", "mocha": "^10.7.0" } }
JSON
run 'npm finds out what it needs' client first install --package-lock-only
PACKAGES=$(grep -o '"resolved": "[^"]*"' "$T/project/package-lock.json" | sort -u | wc -l)
run "those are $PACKAGES packages, 100 or more" test "$PACKAGES" -ge 100
is 'each of them is to be had from the mirror' "$PACKAGES" \
  "$(grep -o "\"resolved\": \"$MIRROR/[^\"]*\"" "$T/project/package-lock.json" | sort -u | wc -l)"
is 'no tarball was fetched for that' 0 "$(tarballs)"

run 'npm ci, with nothing cached anywhere' client second ci
# Not for those that are for other systems.
FETCHED=$(tarballs)
run "the registry was asked for $FETCHED tarballs" test "$FETCHED" -ge 100
is 'and for none twice' '' "$(grep '\.tgz$' "$T/up/asked" | sort | uniq -d)"
run 'what it has installed is whole' client second ls --all
rm -rf "$T/project/node_modules"
run 'npm ci again, with nothing cached at the client' client third ci
is 'the registry was asked for no tarball' "$FETCHED" "$(tarballs)"

# --- what is not what it should be ---------------------------------------------------------------------------------------------------

cache_status() { header cache-status; }
SPOILT=is-odd/-/is-odd-3.0.1.tgz
echo "$SPOILT" >"$T/up/spoil"
http "$MIRROR/$SPOILT"
matches 'a tarball that was changed on its way does not arrive' '^curl exit|^5' "$STATUS"
http "$MIRROR/$SPOILT"
matches 'nor does it the second time: nothing was kept' '^curl exit|^5' "$STATUS"
rm "$T/up/spoil"
http "$MIRROR/$SPOILT"
is 'unchanged it does' 200 "$STATUS"
matches 'fetched, not from the cache' 'stored' "$(cache_status)"
http "$MIRROR/$SPOILT"
matches 'and then from the cache' 'hit' "$(cache_status)"

http "$MIRROR/is-odd/-/is-odd-9.9.9-forged.tgz"
matches 'a tarball that its package does not mention is not kept' 'hook-error' "$(cache_status)"
http "$MIRROR/is-odd/-/is-odd-9.9.9-forged.tgz"
matches 'not the second time either' 'fwd' "$(cache_status)"
http "$MIRROR/no-such-package-of-anybody"
is 'what the registry does not have the mirror has not' 404 "$STATUS"
http -X PUT "$MIRROR/express"
is 'nothing is published to it' 404 "$STATUS"

stop upstream
rm -rf "$T/project/node_modules"
run 'npm ci with the registry gone' client fourth ci
stop mirror
is 'the mirror stops when it is asked to' 0 "$STOPPED_WITH"
summary
