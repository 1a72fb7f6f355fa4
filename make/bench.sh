#!/usr/bin/env bash
# Measures a release build and prints figures; it asserts nothing. BENCH_PROFILE=debug takes the build that is there.
source "$(dirname "$0")/common.sh"
if [ "${BENCH_PROFILE:-release}" = release ]; then
  say "release build (some minutes the first time)"
  make/build.sh portal
  cargo build --locked --release --bins -p plenum -p plenum-agent
  export PLENUM_BIN=$TARGET/release
else
  export PLENUM_BIN=$BIN
fi
make/build.sh all
# Plugins are measured beside `wasmtime serve` of the release that the host has in it.
if [ -z "${PLENUM_WASMTIME:-}" ] && ! command -v wasmtime >/dev/null && [ "${BENCH_PEERS:-yes}" = yes ]; then
  if [ ! -x "$CACHE/wasmtime/bin/wasmtime" ]; then
    version=$(cargo metadata --locked --format-version 1 | sed -n 's/.*"name":"wasmtime","version":"\([^"]*\)".*/\1/p')
    say "building wasmtime $version to compare with (some minutes, once; BENCH_PEERS=no leaves it out)"
    cargo install --quiet wasmtime-cli --version "$version" --locked --no-default-features \
      --features serve,run,cranelift,component-model,parallel-compilation,pooling-allocator --root "$CACHE/wasmtime" ||
      say "it could not be built: its figures are left out"
  fi
  export PLENUM_WASMTIME=$CACHE/wasmtime/bin/wasmtime
fi
export PLENUM_CATALOG=$CATALOG PLENUM_BUILD_KEY=$CACHE/keys/build.key
# Single calls, within the host's process.
if [ "${BENCH_PROFILE:-release}" = release ]; then
  cargo test --quiet --locked --release -p plenum-runtime --lib -- --ignored --nocapture figures
fi
cargo run --quiet --locked -p plenum-tests --bin bench -- ${BENCH_PART:-}
