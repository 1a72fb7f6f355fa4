#!/usr/bin/env bash
# Writes docs/openapi.json from the code, and the portal's typed schema from that.
source "$(dirname "$0")/common.sh"
make/build.sh host
"$BIN/plenum" openapi >docs/openapi.json
say "docs/openapi.json: $(grep -c '"operationId"' docs/openapi.json) operations"
if [ -x frontend/node_modules/.bin/openapi-typescript ]; then
  frontend/node_modules/.bin/openapi-typescript docs/openapi.json -o frontend/src/api/schema.d.ts
fi
