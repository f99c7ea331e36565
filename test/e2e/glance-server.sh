# A real Glance of our own below $T/glance: installed where it is missing, configured, started. Sourced; needs lib.sh.

# ensure_glance: 0 when glance-api and the glance client are there; installs them where that can be done
ensure_glance() {
  if command -v glance-api >/dev/null && command -v glance >/dev/null; then return 0; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  echo "glance-api is missing; installing it with apt-get"
  install_glance >"$T/install.log" 2>&1 || { tail -n 20 "$T/install.log"; return 1; }
  command -v glance-api >/dev/null && command -v glance >/dev/null
}

install_glance() {
  printf '%s\n' \
    'glance-common glance/configure_db boolean false' \
    'glance-common glance/configure_ksat boolean false' \
    'glance-common glance/configure_rabbit boolean false' \
    'glance-api glance/register-endpoint boolean false' | debconf-set-selections
  install_packages glance-api python3-glanceclient curl
}

# glance_conf NAME PORT FLAVOR PERSONAS POLICY-FILE: writes $T/glance/NAME.conf. PERSONAS true: seeing an image takes the role
# reader, downloading it the role member; false: either takes any role.
glance_conf() {
  local G=$T/glance
  cat >"$G/$1.conf" <<C
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $2
workers = 1
enforce_secure_rbac = $4
use_stderr = true
node_staging_uri = file://$G/staging
[database]
connection = sqlite:///$G/glance.sqlite
[glance_store]
stores = file
default_store = file
filesystem_store_datadir = $G/store
[paste_deploy]
config_file = $G/paste.ini
flavor = $3
[oslo_policy]
policy_file = $5
policy_dirs = $G/policy.d
enforce_new_defaults = $4
[oslo_concurrency]
lock_path = $G/lock
[task]
work_dir = $G/tasks
C
}

# start_glance OPEN-PORT IDENTITY-PORT: two instances over one database and store. `glance-open` knows no callers and treats
# every one as admin; `glance-identity` takes the caller from X-Identity-Status, X-User-Id, X-Project-Id and X-Roles, in place of keystone.
start_glance() {
  local G=$T/glance
  mkdir -p "$G"/{store,staging,lock,tasks,policy.d}
  cat >"$G/paste.ini" <<'P'
[pipeline:glance-api]
pipeline = versionnegotiation unauthenticated-context rootapp
[pipeline:glance-api-headers]
pipeline = versionnegotiation context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:unauthenticated-context]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
P
  # The caller of `glance-open` is admin without having a role, which the default rules ask for.
  echo '"publicize_image": "@"' >"$G/policy-open.yaml"
  : >"$G/policy-default.yaml"
  glance_conf glance-open "$1" "" false "$G/policy-open.yaml"
  glance_conf glance-identity "$2" headers true "$G/policy-default.yaml"
  glance-manage --config-file "$G/glance-open.conf" db_sync >"$T/glance-db.log" 2>&1 ||
    { tail -n 20 "$T/glance-db.log" >&2; exit 1; }
  start glance-open glance-api --config-file "$G/glance-open.conf"
  start glance-identity glance-api --config-file "$G/glance-identity.conf"
  wait_port "$1" glance-open
  wait_port "$2" glance-identity
}

# downloads NAME ID: how many whole downloads of the image that instance has given, by its own log
downloads() {
  grep -c "\"GET /v2/images/$2/file HTTP/1.[01]\" 200" "$T/$1.log" || true
}
