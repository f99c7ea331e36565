#!/bin/bash
# cache-filter registry, pushed to and pulled from by skopeo, podman and buildah, beside Debian's docker-registry.
#
#   npm run build && test/e2e/registry.sh
#
# The clients come from the distribution (Debian 12: skopeo, podman, buildah, docker-registry). Where they are missing they are
# installed, which takes root and apt-get; where that can't be done the script fails, or with ALLOW_MISSING_CLIENTS=1 says that
# nothing was tried. CACHE_FILTER: the command to try, in place of the build.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-registry.XXXXXX")
. test/e2e/lib.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

CLIENTS=(skopeo podman buildah docker-registry)
if ! ensure_packages "${CLIENTS[@]}"; then
  echo "SKIPPED: no ${CLIENTS[*]} on this machine, and they can't be installed: nothing was tried"
  [ "${ALLOW_MISSING_CLIENTS:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_CLIENTS=1 makes that a success)"
  exit 1
fi

read -r -a COMMAND <<<"${CACHE_FILTER:-node dist/cli/main.js}"
[ -n "${CACHE_FILTER:-}" ] || [ -f dist/cli/main.js ] || npm run build

# Nothing of the user's, nor of the machine's, is used or touched.
export HOME=$T/home XDG_RUNTIME_DIR=$T/run REGISTRY_AUTH_FILE=$T/auth.json
mkdir -p "$HOME" "$XDG_RUNTIME_DIR"
echo '{}' >"$REGISTRY_AUTH_FILE"
SKOPEO=(skopeo --insecure-policy)
PODMAN=(podman --root "$T/podman" --runroot "$T/podman-run" --storage-driver vfs)
BUILDAH=(buildah --root "$T/buildah" --runroot "$T/buildah-run" --storage-driver vfs)

run() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@" >"$T/run.log" 2>&1; then pass "$what"; else fail "$what" "$(tail -n 3 "$T/run.log")"; fi
}

raw() { # REFERENCE: the digest of what is there, byte for byte
  "${SKOPEO[@]}" inspect --raw --tls-verify=false "docker://$1" 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

start_registry() { # NAME FLAGS...: PORT
  local name=$1
  shift
  PORT=$(free_port)
  start "$name" "${COMMAND[@]}" registry --port "$PORT" "$@"
  wait_port "$PORT" "$name"
}

# --- the house: two registries of ours, one for everybody on this machine and one with passwords, and another's ----------------

start_registry open --directory "$T/storage"
OPEN=127.0.0.1:$PORT
echo secret | "${COMMAND[@]}" registry passwd "$T/users" ann >/dev/null
start_registry guarded --directory "$T/guarded" --htpasswd "$T/users"
GUARDED=127.0.0.1:$PORT
PORT=$(free_port)
cat >"$T/other.yml" <<YAML
version: 0.1
log: { level: error }
storage:
  filesystem: { rootdirectory: $T/other }
  delete: { enabled: true }
http: { addr: 127.0.0.1:$PORT }
YAML
# What begins with REGISTRY_ would be taken for a setting of it.
start other env -u REGISTRY_AUTH_FILE docker-registry serve "$T/other.yml"
wait_port "$PORT" other
OTHER=127.0.0.1:$PORT

IMAGE=$(node test/e2e/make-image.mjs "$T/image")
LIST=$(node test/e2e/make-image.mjs "$T/list" --list)
NO_TLS=(--src-tls-verify=false --dest-tls-verify=false)

# --- skopeo ---------------------------------------------------------------------------------------------------------------------

run 'skopeo pushes an image' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/image:made" "docker://$OPEN/team/app:v1"
is 'its manifest is what was pushed' "${IMAGE#sha256:}" "$(raw "$OPEN/team/app:v1")"
run 'skopeo pushes a list' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "oci:$T/list:made" "docker://$OPEN/team/list:v1"
is 'the list is what was pushed' "${LIST#sha256:}" "$(raw "$OPEN/team/list:v1")"
run 'skopeo pulls the image' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "docker://$OPEN/team/app:v1" "oci:$T/image-back:made"
run 'byte for byte' diff -r "$T/image/blobs" "$T/image-back/blobs"
run 'skopeo pulls the list' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OPEN/team/list:v1" "oci:$T/list-back:made"
run 'byte for byte, too' diff -r "$T/list/blobs" "$T/list-back/blobs"
run 'skopeo copies between repositories' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OPEN/team/list:v1" "docker://$OPEN/other/list:v2"
is 'the copy is the same' "${LIST#sha256:}" "$(raw "$OPEN/other/list:v2")"
run 'and back' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OPEN/other/list:v2" "docker://$OPEN/team/list:again"
is 'as many blobs are stored as there are' "$(ls "$T/image/blobs/sha256" "$T/list/blobs/sha256" | grep -c '^[0-9a-f]\{64\}$')" \
  "$(find "$T/storage" -name data | wc -l)"
is 'skopeo lists the tags' '["again","v1"]' \
  "$("${SKOPEO[@]}" list-tags --tls-verify=false "docker://$OPEN/team/list" | node -p 'JSON.stringify(JSON.parse(require("fs").readFileSync(0)).Tags)')"
run 'skopeo deletes an image' "${SKOPEO[@]}" delete --tls-verify=false "docker://$OPEN/other/list:v2"
is 'it is gone' 404 "$(curl -s -o /dev/null -w '%{http_code}' "http://$OPEN/v2/other/list/manifests/v2")"
is 'elsewhere it is not' "${LIST#sha256:}" "$(raw "$OPEN/team/list:v1")"

# --- podman and buildah -----------------------------------------------------------------------------------------------------------

run 'podman pulls' "${PODMAN[@]}" pull --tls-verify=false "$OPEN/team/app:v1"
"${PODMAN[@]}" tag "$OPEN/team/app:v1" "$OPEN/podman/app:v1" >/dev/null 2>&1 || true
run 'podman pushes' "${PODMAN[@]}" push --tls-verify=false "$OPEN/podman/app:v1"
run 'what podman pushed is pulled' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "docker://$OPEN/podman/app:v1" "oci:$T/podman-back:made"
run 'buildah pulls out of a list' "${BUILDAH[@]}" pull --tls-verify=false "docker://$OPEN/team/list:v1"
run 'buildah pushes' "${BUILDAH[@]}" push --tls-verify=false "$OPEN/team/list:v1" "docker://$OPEN/buildah/app:v1"
run 'buildah pushes in the format of Docker' \
  "${BUILDAH[@]}" push --format v2s2 --tls-verify=false "$OPEN/team/list:v1" "docker://$OPEN/buildah/app:docker"
matches 'it is of that type' 'docker.distribution.manifest.v2' \
  "$(curl -s -D - -o /dev/null "http://$OPEN/v2/buildah/app/manifests/docker" | grep -i content-type)"

# --- beside another registry: the same image has the same digests -----------------------------------------------------------------

run 'to the other registry' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OPEN/team/list:v1" "docker://$OTHER/team/list:v1"
is 'there it has the same digest' "$(raw "$OPEN/team/list:v1")" "$(raw "$OTHER/team/list:v1")"
run 'and from there to us' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OTHER/team/list:v1" "docker://$OPEN/moved/list:v1"
is 'with the same digest' "${LIST#sha256:}" "$(raw "$OPEN/moved/list:v1")"
run 'a whole repository moves in with skopeo sync' \
  "${SKOPEO[@]}" sync --all --src docker --dest docker "${NO_TLS[@]}" "$OTHER/team/list" "$OPEN/synced"
is 'it is the same' "${LIST#sha256:}" "$(raw "$OPEN/synced/list:v1")"

# --- passwords ----------------------------------------------------------------------------------------------------------------------

if "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/image:made" "docker://$GUARDED/app:v1" >"$T/run.log" 2>&1; then
  fail 'without a password nothing is pushed' 'it was'
else
  matches 'without a password nothing is pushed' 'unauthorized|authentication required|401' "$(cat "$T/run.log")"
fi
run 'podman logs in' "${PODMAN[@]}" login --tls-verify=false -u ann -p secret "$GUARDED"
if "${PODMAN[@]}" login --tls-verify=false -u ann -p wrong --authfile "$T/wrong.json" "$GUARDED" >"$T/run.log" 2>&1; then
  fail 'not with a wrong password' 'it did'
else
  pass 'not with a wrong password'
fi
run 'logged in, it is pushed' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/image:made" "docker://$GUARDED/app:v1"
run 'and pulled' "${PODMAN[@]}" pull --tls-verify=false "$GUARDED/app:v1"

# --- pruning while it serves ----------------------------------------------------------------------------------------------------------

node test/e2e/make-image.mjs "$T/unwanted" >/dev/null
run 'one more image is pushed' \
  "${SKOPEO[@]}" copy "${NO_TLS[@]}" "oci:$T/unwanted:made" "docker://$OPEN/team/unwanted:v1"
run 'and deleted' "${SKOPEO[@]}" delete --tls-verify=false "docker://$OPEN/team/unwanted:v1"
BEFORE=$(find "$T/storage" -name data | wc -l)
run 'what nobody refers to is pruned' \
  "${COMMAND[@]}" registry prune --directory "$T/storage" --upload-max-age 0
AFTER=$(find "$T/storage" -name data | wc -l)
is 'its manifest, its config and its layers have gone' 5 $((BEFORE - AFTER))
run 'the rest is pulled as before' \
  "${SKOPEO[@]}" copy --all "${NO_TLS[@]}" "docker://$OPEN/team/list:v1" "oci:$T/list-after:made"
run 'byte for byte still' diff -r "$T/list/blobs" "$T/list-after/blobs"

stop open
is 'it stops when it is asked to' 0 "$STOPPED_WITH"
summary
