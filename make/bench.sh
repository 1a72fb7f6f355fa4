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
export PLENUM_CATALOG=$CATALOG PLENUM_BUILD_KEY=$CACHE/keys/build.key
cargo run --quiet --locked -p plenum-tests --bin bench
