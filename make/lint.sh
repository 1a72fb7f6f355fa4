#!/usr/bin/env bash
# What a reviewer should not have to say.
source "$(dirname "$0")/common.sh"
say "rustfmt"
cargo fmt --all --check
say "clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
for dir in plugins/*/; do
  [ -e "$dir/Cargo.toml" ] && (cd "$dir" && cargo fmt --check)
done
say "portal: ESLint and types"
make/build.sh portal
(cd frontend && npm run --silent lint && npm run --silent typecheck)
say "the API reference"
make/openapi.sh --check
say "licences of everything that is shipped"
python3 make/licences.py
