#!/usr/bin/env bash
# Every test. The last line counts the Rust tests; the portal's are counted above it.
source "$(dirname "$0")/common.sh"
what=${1:-all}
[ "${CI:-}" = true ] && export CARGO_TARGET_DIR="$TARGET"

portal_tests() {
  make/build.sh portal
  say "portal: types and unit tests"
  (cd frontend && npm run --silent typecheck && npm test --silent) || fail "the portal's tests failed"
}

# The SDKs and plugins in Python and JavaScript, natively: no host, no WebAssembly.
script_tests() {
  need_venv
  need_node
  need openssl openssl "the tests of plugins/tls-watch make certificates"
  for dir in sdk/python sdk/templates/python plugins/tls-watch; do
    say "Python tests: $dir"
    (cd "$dir" && python3 -B -m unittest) || fail "the tests of $dir failed"
  done
  for dir in sdk/js sdk/templates/javascript plugins/runbook; do
    say "JavaScript tests: $dir"
    (cd "$dir" && npm test --silent) || fail "the tests of $dir failed"
  done
}

rust_tests() {
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || need initdb postgresql "the domain tests run on PostgreSQL too"
  need chromium "chromium fonts-noto-cjk" "the end-to-end tests drive a browser"
  need redis-server redis-server "the inspection tests look at a real Redis"
  need mariadbd mariadb-server "the inspection tests look at a real MariaDB"
  need nginx nginx-light "the discovery tests look at a real nginx"
  need minisign minisign "package signatures are checked with a stranger's tool"
  need docker-registry docker-registry "packages go to a real registry and back"
  need skopeo skopeo "a stranger's tool copies packages between registries"
  make/build.sh all
  make/build.sh plugins-all
  # The packages themselves, in the fake host.
  for dir in plugins/*/; do
    say "plugin $(basename "$dir"): its cases"
    "$BIN/plenum" plugin test "$dir" --package "$(ls "$CATALOG/$(basename "$dir")"-*.plenum)"
  done
  if [ -d tests/browser ] && { [ ! -e tests/browser/node_modules/.package-lock.json ] || [ tests/browser/package-lock.json -nt tests/browser/node_modules/.package-lock.json ]; }; then
    say "browser tests: installing playwright-core"
    (cd tests/browser && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json) || fail "npm ci failed in tests/browser"
  fi
  cargo build --quiet --locked --workspace --tests || fail "the tests do not compile: see above"
  export PLENUM_BIN=$BIN PLENUM_CATALOG=$CATALOG PLENUM_BUILD_KEY=$CACHE/keys/build.key
  if cargo nextest --version >/dev/null 2>&1; then
    say "Rust tests: cargo nextest"
    cargo nextest run --locked --workspace --no-fail-fast
  else
    say "Rust tests: cargo test (cargo-nextest is not installed)"
    cargo test --locked --workspace --no-fail-fast
  fi
}

case $what in
  portal) portal_tests ;;
  rust) rust_tests ;;
  scripts) script_tests ;;
  all)
    portal_tests
    script_tests
    rust_tests
    ;;
  *) fail "make/test.sh [all|portal|rust|scripts]" ;;
esac
