#!/usr/bin/env bash
# Writes docs/openapi.json and docs/api-reference.md from the code. With --check: says whether they are up to date.
source "$(dirname "$0")/common.sh"
make/build.sh host
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
"$BIN/plenum" openapi >"$new/openapi.json"
python3 make/api_reference.py "$new/openapi.json" >"$new/api-reference.md"
if [ "${1:-}" = --check ]; then
  for f in openapi.json api-reference.md; do
    cmp -s "$new/$f" "docs/$f" || fail "docs/$f is not what the code says: run make openapi"
  done
else
  cp "$new"/* docs/
  say "docs/openapi.json, docs/api-reference.md: $(grep -c '"operationId"' docs/openapi.json) operations"
fi
