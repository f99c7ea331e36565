# What glance.sh starts and asks for. Sourced; needs lib.sh, and the addresses and callers that glance.sh sets.

# start_filter NAME GLANCE-PORT: the filter, with the directory $T/NAME; FILTER_PORT is where it listens
start_filter() {
  FILTER_PORT=$(free_port)
  mkdir -p "$T/$1"
  start "$1" "${COMMAND[@]}" serve --origin "http://127.0.0.1:$2" --routes glance \
    --directory "$T/$1" --max-bytes 1GiB --port "$FILTER_PORT" --access-log
  wait_port "$FILTER_PORT" "$1"
}

# caller USER PROJECT ROLES: the arguments of curl, in CALLER, that say to `glance-identity` who asks
caller() {
  CALLER=(-H 'X-Identity-Status: Confirmed' -H "X-User-Id: $1" -H "X-Project-Id: $2" -H "X-Roles: $3")
}

# make_image VISIBILITY: an image of the owner's, through the filter; its id in ID
make_image() {
  http -X POST "$FRONT/v2/images" "${ADMIN[@]}" -H 'Content-Type: application/json' \
    -d "{\"name\":\"e2e\",\"disk_format\":\"raw\",\"container_format\":\"bare\",\"visibility\":\"$1\",\"owner\":\"p1\"}"
  ID=$(sed -n 's/.*"id": *"\([0-9a-f-]*\)".*/\1/p' "$T/body")
  [ -n "$ID" ] || { echo "no image was made: $STATUS $(cat "$T/body")" >&2; exit 1; }
}

upload() { # ID [FILE]
  http -X PUT "$FRONT/v2/images/$1/file" "${ADMIN[@]}" -H 'Content-Type: application/octet-stream' -T "${2:-$T/image}"
}

entries() { # FILTER ID: how many records the filter's directory holds of the image
  grep -rl "glance:$2" "$T/$1/v1/entries" --include='*.json' | wc -l
}

# glance_client ARGUMENTS...: the command-line client of Glance, by way of the filter at $OPEN
glance_client() {
  local home code=0
  # The client keeps a copy of the image schema in its home, which its next call can't read.
  home=$(mktemp -d "$T/home.XXXXXX")
  HOME=$home glance --os-image-url "$OPEN" --os-auth-token x "$@" || code=$?
  rm -rf "$home"
  return $code
}
