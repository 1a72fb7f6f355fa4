#!/usr/bin/env bash
# Builds host, agent, portal and first-party plugins; what is up to date is left alone.
source "$(dirname "$0")/common.sh"
what=${1:-all}

portal() {
  if [ ! -e frontend/node_modules/.package-lock.json ] || [ frontend/package-lock.json -nt frontend/node_modules/.package-lock.json ]; then
    need_node
    say "portal: installing its npm packages"
    (cd frontend && npm ci --no-audit --no-fund --loglevel=error) || fail "npm ci failed: see above"
    touch frontend/node_modules/.package-lock.json
  fi
  if ! fresh frontend/dist/index.html frontend; then
    need_node
    say "portal: building"
    (cd frontend && npm run --silent build) >"$CACHE/portal-build.log" 2>&1 || { tail -n 40 "$CACHE/portal-build.log"; fail "the portal does not build"; }
    touch frontend/dist/index.html
  fi
}

host() {
  need_build_tools
  say "host and agent: cargo build (the first time takes some minutes)"
  cargo build --locked --bins -p plenum -p plenum-agent || fail "cargo build failed: see above"
}

# Plugins in Rust: what everybody's `make run` builds. `plugins all` builds those in Python and JavaScript too, whose tools are large.
plugins() {
  local which=${1:-rust}
  mkdir -p "$CATALOG" "$CACHE/keys"
  chmod 700 "$CACHE/keys"
  # The key of this machine's builds: what the host that `make run` starts trusts, beside nothing else.
  [ -e "$CACHE/keys/build.key" ] || "$BIN/plenum" plugin keygen --no-password --out "$CACHE/keys/build" >/dev/null
  for dir in plugins/*/; do
    local id stamp
    [ "$which" = all ] || [ -e "$dir/Cargo.toml" ] || continue
    id=$(basename "$dir")
    stamp=$CATALOG/.$id.stamp
    if fresh "$stamp" "$dir" sdk/rust sdk/python sdk/js wit "$CACHE/keys/build.key" && ls "$CATALOG/$id"-*.plenum >/dev/null 2>&1; then continue; fi
    say "plugin $id: building"
    rm -f "$CATALOG/$id"-*.plenum
    "$BIN/plenum" plugin build "$dir" --locked --out "$CATALOG" --key "$CACHE/keys/build.key" || fail "plugin $id does not build: see above"
    touch "$stamp"
  done
}

mkdir -p "$CACHE"
case $what in
  portal | host) "$what" ;;
  plugins)
    need_build_tools
    need_wasm
    plugins
    ;;
  plugins-all)
    need_build_tools
    need_wasm
    need_venv
    need_node
    plugins all
    ;;
  all)
    need_build_tools
    need_wasm
    need_node
    # The portal's packages come over the network while the compiler keeps the cores busy.
    portal &
    child=$!
    host
    wait "$child" || exit 1
    plugins
    ;;
  *) fail "make/build.sh [all|host|portal|plugins|plugins-all]" ;;
esac
