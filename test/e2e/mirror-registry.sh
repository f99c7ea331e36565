#!/bin/bash
# examples/registry-mirror.ts between skopeo and another registry: ten pulls at once, and what is left when the registry is gone.
#   bash test/e2e/mirror-registry.sh
# Needs skopeo and docker-registry (Debian's distribution). What is missing is installed, as root and with apt-get; where that can't be
# done the script fails, or with ALLOW_MISSING_CLIENTS=1 says that nothing was tried.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-mirror.XXXXXX")
. test/e2e/lib.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

CLIENTS=(skopeo docker-registry)
if ! ensure_packages "${CLIENTS[@]}"; then
  echo "SKIPPED: no ${CLIENTS[*]} on this machine, and they can't be installed: nothing was tried"
  [ "${ALLOW_MISSING_CLIENTS:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_CLIENTS=1 makes that a success)"
  exit 1
fi

export HOME=$T/home XDG_RUNTIME_DIR=$T/run
mkdir -p "$HOME" "$XDG_RUNTIME_DIR"
SKOPEO=(skopeo --insecure-policy)
NO_TLS=(--src-tls-verify=false --dest-tls-verify=false)

UP=$(free_port)
cat >"$T/upstream.yml" <<YAML
version: 0.1
log: { level: error, accesslog: { disabled: false } }
storage:
  filesystem: { rootdirectory: $T/upstream }
http: { addr: 127.0.0.1:$UP }
YAML
start upstream env OTEL_TRACES_EXPORTER=none docker-registry serve "$T/upstream.yml"
wait_port "$UP" upstream
PORT=$(free_port)
start mirror env UPSTREAM="http://127.0.0.1:$UP" PORT="$PORT" CACHE_DIRECTORY="$T/cache" \
  node --import tsx examples/registry-mirror.ts
wait_port "$PORT" mirror
MIRROR=127.0.0.1:$PORT

run() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$T/run.log" 2>&1; then pass "$what"; else fail "$what" "$(tail -n 3 "$T/run.log" "$T/mirror.log")"; fi
}

pull() { # REFERENCE DIRECTORY
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "docker://$MIRROR/$1" "oci:$T/$2:made"
}

asked() { # REGEX: how often the registry was asked for such a path
  grep -cE "\"GET $1" "$T/upstream.log" || true
}

node test/e2e/make-image.mjs "$T/image" >/dev/null
run 'an image is pushed to the registry' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/image:made" "docker://127.0.0.1:$UP/team/app:v1"
: >"$T/upstream.log"

for i in $(seq 10); do
  pull team/app:v1 "back-$i" >"$T/pull-$i.log" 2>&1 &
  eval "PULL_$i=$!"
done
DONE=0
for i in $(seq 10); do
  eval "wait \$PULL_$i" && DONE=$((DONE + 1)) || cat "$T/pull-$i.log"
done
is 'ten pull it at once' 10 "$DONE"
for i in 1 10; do run 'byte for byte' diff -r "$T/image/blobs" "$T/back-$i/blobs"; done
is 'the registry was asked for no blob twice' '' \
  "$(grep -oE '"GET /v2/team/app/blobs/[^ ?]*' "$T/upstream.log" | sort | uniq -d)"
is 'nor for the manifest' 1 "$(asked '/v2/team/app/manifests/')"
BLOBS=$(asked '/v2/team/app/blobs/')
matches 'but for each blob' '^[1-9]' "$BLOBS"

run 'an eleventh pulls it' pull team/app:v1 later
is 'of which the registry hears nothing' "$BLOBS" "$(asked '/v2/team/app/blobs/')"

# --- whom it asks, and whom not --------------------------------------------------------------------------------------------------------

http "http://$MIRROR/v2/"
is 'it says that it is a registry' '200 {}' "$STATUS $(cat "$T/body")"
http "http://$MIRROR/v2/team/app/manifests/v1?ns=127.0.0.1:$PORT"
is 'a registry that is not configured is not asked' 404 "$STATUS"
matches 'which is said as registries do' 'NAME_UNKNOWN' "$(cat "$T/body")"
http "http://$MIRROR/v2/team/app/manifests/v1?ns=127.0.0.1:$UP"
is 'the one that is can be named' 200 "$STATUS"
http -X POST "http://$MIRROR/v2/team/app/blobs/uploads/"
is 'nothing is pushed to it' 404 "$STATUS"

# --- what is not what it should be ---------------------------------------------------------------------------------------------------

node test/e2e/make-image.mjs "$T/bad" >/dev/null
run 'another image is pushed to the registry' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/bad:made" "docker://127.0.0.1:$UP/team/bad:v1"
LAYER=$(cd "$T/bad/blobs/sha256" && ls -S | head -n 1)
DATA=$(find "$T/upstream" -path "*$LAYER/data")
cp "$DATA" "$T/layer"
printf 'X' | dd of="$DATA" bs=1 seek=100 conv=notrunc status=none
http "http://$MIRROR/v2/team/bad/blobs/sha256:$LAYER"
matches 'a layer that was changed does not arrive' '^curl exit|^5' "$STATUS"
if pull team/bad:v1 bad-back >"$T/run.log" 2>&1; then fail 'nor does its image' 'it did'; else pass 'nor does its image'; fi
cp "$T/layer" "$DATA"
run 'mended it does: nothing of it was kept' pull team/bad:v1 bad-back-2
run 'byte for byte' diff -r "$T/bad/blobs" "$T/bad-back-2/blobs"

stop upstream
run 'with the registry gone the image is pulled from the mirror' pull team/app:v1 gone
run 'byte for byte' diff -r "$T/image/blobs" "$T/gone/blobs"
stop mirror
is 'the mirror stops when it is asked to' 0 "$STOPPED_WITH"
summary
