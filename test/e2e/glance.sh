#!/bin/bash
# cache-filter in front of a real OpenStack Glance, asked by curl and by the glance client.
#
#   npm run build && test/e2e/glance.sh
#
# Glance comes from the distribution (Debian 12: glance-api, python3-glanceclient). Where it is missing it is installed, which
# takes root and apt-get; where that can't be done the script fails, or with ALLOW_MISSING_GLANCE=1 says that nothing was tried.
# CACHE_FILTER: the command to try, in place of the build.
set -eu
cd "$(dirname "$0")/../.."
T=$(mktemp -d "${TMPDIR:-/tmp}/cache-filter-glance.XXXXXX")
. test/e2e/lib.sh
. test/e2e/glance-server.sh
. test/e2e/glance-requests.sh
finish() {
  local code=$?
  stop_all
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

if ! ensure_glance; then
  echo "SKIPPED: no Glance on this machine, and it can't be installed: nothing was tried"
  [ "${ALLOW_MISSING_GLANCE:-}" = 1 ] && exit 0
  echo "(ALLOW_MISSING_GLANCE=1 makes that a success)"
  exit 1
fi

read -r -a COMMAND <<<"${CACHE_FILTER:-node dist/cli/main.js}"
[ -n "${CACHE_FILTER:-}" ] || [ -f dist/cli/main.js ] || npm run build

# --- the house: two Glances, and a cache-filter in front of each -------------------------------------------------

OPEN_GLANCE=$(free_port)
GLANCE=$(free_port)
start_glance "$OPEN_GLANCE" "$GLANCE"

start_filter open-filter "$OPEN_GLANCE"
OPEN=http://127.0.0.1:$FILTER_PORT
start_filter filter "$GLANCE"
FRONT=http://127.0.0.1:$FILTER_PORT

caller owner p1 member,reader && OWNER=("${CALLER[@]}")
caller reader p1 reader && READER=("${CALLER[@]}")
caller stranger p2 member,reader && STRANGER=("${CALLER[@]}")
caller root p0 admin,member,reader && ADMIN=("${CALLER[@]}")

# The beginning is known, so that ranges can be read off; the rest is random.
{ printf '0123456789abcdefghij' && head -c $((10 * 1024 * 1024)) /dev/urandom; } >"$T/image"
SIZE=$(stat -c %s "$T/image")

# --- up once, down from disk --------------------------------------------------------------------------------------

make_image private
IMAGE=$ID
FILE=$FRONT/v2/images/$IMAGE/file

http "$FILE" "${OWNER[@]}"
is 'an image without data is answered by Glance' 204 "$STATUS"
upload "$IMAGE"
is 'the image goes up through the filter' 204 "$STATUS"
same 'it lies in the store of Glance as it was sent' "$T/image" "$T/glance/store/$IMAGE"

http "$FILE" "${OWNER[@]}"
is 'first download: 200' 200 "$STATUS"
matches 'first download: a miss that is stored' '^cache-filter; fwd=uri-miss.*stored' "$(header cache-status)"
same 'first download: byte for byte' "$T/image" "$T/body"
MD5=$(header content-md5)
http "$FILE" "${OWNER[@]}"
is 'second download: 200' 200 "$STATUS"
matches 'second download: a hit' '^cache-filter; hit' "$(header cache-status)"
same 'second download: byte for byte' "$T/image" "$T/body"
is 'second download: Content-MD5 as Glance gave it' "$MD5" "$(header content-md5)"
is 'second download: Content-Length' "$SIZE" "$(header content-length)"
is 'Glance has given the image once' 1 "$(downloads glance-identity "$IMAGE")"
same 'the body on disk is the image' "$T/image" "$(find "$T/filter/v1/entries" -name '*.body' -size +1M | head -n 1)"

# --- ranges ----------------------------------------------------------------------------------------------------------

http "$FILE" "${OWNER[@]}" -r 10-19
is 'a range: 206' 206 "$STATUS"
is 'a range: its bytes' abcdefghij "$(cat "$T/body")"
is 'a range: Content-Range' "bytes 10-19/$SIZE" "$(header content-range)"
http "$FILE" "${OWNER[@]}" -r -1000
tail -c 1000 "$T/image" >"$T/expected"
same 'the last 1000 bytes' "$T/expected" "$T/body"
http "$FILE" "${OWNER[@]}" -r "$SIZE-"
is 'past the end: 416' 416 "$STATUS"
is 'past the end: Content-Range' "bytes */$SIZE" "$(header content-range)"
http "$FILE" "${OWNER[@]}" -r 0-9,10-19
is 'two ranges: 206' 206 "$STATUS"
matches 'two ranges: multipart' '^multipart/byteranges' "$(header content-type)"
is 'two ranges: each with its place' 2 "$(grep -aciE "^content-range: bytes (0-9|10-19)/$SIZE" "$T/body")"
is 'two ranges: each with its bytes' 2 "$(tr -d '\r' <"$T/body" | grep -acxE '0123456789|abcdefghij')"
http "$FILE" "${OWNER[@]}" -I
is 'HEAD is answered from the cache' 200 "$STATUS"
is 'Glance has still given the image once' 1 "$(downloads glance-identity "$IMAGE")"

# --- who may -----------------------------------------------------------------------------------------------------------

http "$FILE" "${STRANGER[@]}"
is 'somebody of another project: 404, though it is cached' 404 "$STATUS"
http "$FILE"
is 'nobody in particular: 401, though it is cached' 401 "$STATUS"
http "$FILE" "${READER[@]}"
is 'one who may see the image but not download it: 403, though it is cached' 403 "$STATUS"
http "http://127.0.0.1:$GLANCE/v2/images/$IMAGE" "${READER[@]}"
is '... whom Glance shows the image' 200 "$STATUS"
http "$FILE" "${STRANGER[@]}" -r 0-9
is 'somebody of another project: no range either' 404 "$STATUS"
http "$FILE" "${OWNER[@]}"
matches 'for the owner it is still a hit' '^cache-filter; hit' "$(header cache-status)"

make_image public
PUBLIC=$ID
upload "$PUBLIC"
http "$FRONT/v2/images/$PUBLIC/file" "${OWNER[@]}"
http "$FRONT/v2/images/$PUBLIC/file" "${STRANGER[@]}"
matches 'a public image is a hit for other projects too' '^cache-filter; hit' "$(header cache-status)"
same '... byte for byte' "$T/image" "$T/body"

# --- deactivated, reactivated ---------------------------------------------------------------------------------------

http -X POST "$FRONT/v2/images/$IMAGE/actions/deactivate" "${ADMIN[@]}"
is 'the image is deactivated through the filter' 204 "$STATUS"
http "$FILE" "${OWNER[@]}"
is 'deactivated: 403 for its owner' 403 "$STATUS"
http "$FILE" "${OWNER[@]}" -r 0-9
is 'deactivated: 403 for a range' 403 "$STATUS"
BEFORE=$(downloads glance-identity "$IMAGE")
http "$FILE" "${ADMIN[@]}"
is 'deactivated: 200 for an admin' 200 "$STATUS"
same 'deactivated: byte for byte' "$T/image" "$T/body"
is 'deactivated: given to the admin by Glance itself' $((BEFORE + 1)) "$(downloads glance-identity "$IMAGE")"
is 'deactivated: the entry has stayed' 1 "$(entries filter "$IMAGE")"
http -X POST "$FRONT/v2/images/$IMAGE/actions/reactivate" "${ADMIN[@]}"
is 'the image is reactivated' 204 "$STATUS"
http "$FILE" "${OWNER[@]}"
matches 'reactivated: a hit again' '^cache-filter; hit' "$(header cache-status)"
same 'reactivated: byte for byte' "$T/image" "$T/body"

# --- many at once --------------------------------------------------------------------------------------------------------

make_image public
CROWD=$ID
upload "$CROWD"
PIDS=()
for i in 1 2 3 4 5 6 7 8; do
  curl -sS -o "$T/crowd-$i" "${OWNER[@]}" "$FRONT/v2/images/$CROWD/file" &
  PIDS+=($!)
done
wait "${PIDS[@]}"
for i in 1 2 3 4 5 6 7 8; do same "one of 8 at once, number $i: byte for byte" "$T/image" "$T/crowd-$i"; done
is '8 at once: Glance has given the image once' 1 "$(downloads glance-identity "$CROWD")"

# --- damage --------------------------------------------------------------------------------------------------------------

make_image public
DAMAGED=$ID
upload "$DAMAGED"
printf X | dd of="$T/glance/store/$DAMAGED" bs=1 seek=5000000 conv=notrunc status=none
http "$FRONT/v2/images/$DAMAGED/file" "${OWNER[@]}" 2>"$T/out"
is 'bytes altered in the store of Glance: the download breaks' 'curl exit 18' "$STATUS"
is '... and nothing is kept' 0 "$(entries filter "$DAMAGED")"
cp "$T/image" "$T/glance/store/$DAMAGED"
http "$FRONT/v2/images/$DAMAGED/file" "${OWNER[@]}"
same '... until the store is mended' "$T/image" "$T/body"
is '... then it is kept' 1 "$(entries filter "$DAMAGED")"
BEFORE=$(downloads glance-identity "$DAMAGED")
RECORD=$(grep -rl "glance:$DAMAGED" "$T/filter/v1/entries" --include='*.json')
truncate -s 1000 "${RECORD%.json}".*.body
http "$FRONT/v2/images/$DAMAGED/file" "${OWNER[@]}"
is 'the body on disk cut short: 200' 200 "$STATUS"
same '... byte for byte' "$T/image" "$T/body"
is '... given by Glance' $((BEFORE + 1)) "$(downloads glance-identity "$DAMAGED")"

make_image public
EMPTY=$ID
: >"$T/empty"
upload "$EMPTY" "$T/empty"
for i in 1 2; do
  http "$FRONT/v2/images/$EMPTY/file" "${OWNER[@]}"
  is "an empty image, download $i" '200 0' "$STATUS $(stat -c %s "$T/body")"
done
matches 'an empty image: a hit' '^cache-filter; hit' "$(header cache-status)"

# --- the process ends and comes again --------------------------------------------------------------------------------

stop filter
is 'the filter ends on SIGTERM with 0' 0 "$STOPPED_WITH"
start_filter filter "$GLANCE"
FRONT=http://127.0.0.1:$FILTER_PORT
FILE=$FRONT/v2/images/$IMAGE/file
BEFORE=$(downloads glance-identity "$IMAGE")
http "$FILE" "${OWNER[@]}"
matches 'after a restart: a hit' '^cache-filter; hit' "$(header cache-status)"
same 'after a restart: byte for byte' "$T/image" "$T/body"
is 'after a restart: Glance was not asked for it' "$BEFORE" "$(downloads glance-identity "$IMAGE")"

# --- deleted -----------------------------------------------------------------------------------------------------------

http -X DELETE "$FRONT/v2/images/$IMAGE" "${STRANGER[@]}"
is 'a stranger can not delete it' 404 "$STATUS"
is '... and the entry stays' 1 "$(entries filter "$IMAGE")"
http -X DELETE "$FRONT/v2/images/$IMAGE" "${OWNER[@]}"
is 'the owner deletes it' 204 "$STATUS"
is '... the entry is gone' 0 "$(entries filter "$IMAGE")"
is '... the other ones are not' 1 "$(entries filter "$PUBLIC")"
http "$FILE" "${OWNER[@]}"
is '... and it is 404' 404 "$STATUS"

http -X DELETE "http://127.0.0.1:$GLANCE/v2/images/$DAMAGED" "${OWNER[@]}"
http "$FRONT/v2/images/$DAMAGED/file" "${OWNER[@]}"
is 'deleted at Glance directly: 404 here too' 404 "$STATUS"

# --- the glance client -------------------------------------------------------------------------------------------------

glance_client image-create --name client --disk-format raw --container-format bare --file "$T/image" >"$T/created" 2>&1 || true
CLIENTS=$(sed -n 's/^| id *| \([0-9a-f-]*\) .*/\1/p' "$T/created")
matches 'glance image-create' '^[0-9a-f-]{36}$' "$CLIENTS"
for i in 1 2; do
  glance_client image-download --file "$T/client-$i" "$CLIENTS" >"$T/out" 2>&1 || true
  same "glance image-download, number $i: byte for byte" "$T/image" "$T/client-$i"
done
is 'Glance has given the image once' 1 "$(downloads glance-open "$CLIENTS")"
is '... the second time it was a hit' 1 "$(grep -c "^GET /v2/images/$CLIENTS/file 200 .*cache-filter; hit" "$T/open-filter.log")"
CODE=0
glance_client image-delete "$CLIENTS" >"$T/out" 2>&1 || CODE=$?
is 'glance image-delete' 0 "$CODE"
is '... the entry is gone' 0 "$(entries open-filter "$CLIENTS")"
http "$OPEN/v2/images/$CLIENTS/file"
is '... and it is 404' 404 "$STATUS"

# --- without Glance ------------------------------------------------------------------------------------------------------

http "$FRONT/v2/images/$PUBLIC/file" "${OWNER[@]}"
matches 'before Glance goes: a hit' '^cache-filter; hit' "$(header cache-status)"
stop glance-identity
http "$FRONT/v2/images/$PUBLIC/file" "${OWNER[@]}"
is 'without Glance nobody can say who may have it: 502' 502 "$STATUS"

summary
