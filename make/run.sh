#!/usr/bin/env bash
# From a clean clone to a running platform: builds, starts the host and one agent in the background, prints what to do next.
# PLENUM_PORT, PLENUM_AGENT_PORT and PLENUM_DATA move it elsewhere.
source "$(dirname "$0")/common.sh"
DATA=${PLENUM_DATA:-$ROOT/data}
PORT=${PLENUM_PORT:-8080}
AGENT_PORT=${PLENUM_AGENT_PORT:-8444}
URL=http://127.0.0.1:$PORT

need curl curl "asks the host whether it is ready"
make/build.sh all
mkdir -p "$DATA"
chmod 700 "$DATA"

running() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
newer() { [ "$2" -nt "$1" ]; }
export_database() { if [ -n "${PLENUM_DATABASE_URL:-}" ]; then say "database: the one PLENUM_DATABASE_URL names"; else say "database: SQLite in $DATA"; fi; }

if running "$DATA/host.pid" && { newer "$DATA/host.pid" "$BIN/plenum" || newer "$DATA/host.pid" frontend/dist/index.html; }; then
  say "the host was built anew: restarting it"
  make/stop.sh
fi
# It may run already, on a port that was chosen then.
at=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$DATA/host.json" 2>/dev/null || true)
if running "$DATA/host.pid" && [ -n "$at" ] && [ "$at" != "127.0.0.1:$PORT" ]; then
  if [ -n "${PLENUM_PORT:-}" ]; then
    say "the host runs on $at: starting it on port $PORT instead"
    make/stop.sh
  else
    PORT=${at##*:}
    URL=http://$at
  fi
fi
if ! running "$DATA/host.pid"; then
  if curl -fs -o /dev/null "$URL/healthz" 2>/dev/null; then fail "something else answers on $URL: stop it, or set PLENUM_PORT"; fi
  export_database
  "$BIN/plenum" admin init --data "$DATA" --credentials "$DATA/first-administrator"
  say "starting the host"
  setsid nohup "$BIN/plenum" serve --data "$DATA" --listen "127.0.0.1:$PORT" --agent-listen "127.0.0.1:$AGENT_PORT" \
    --catalog "$CATALOG" --trusted-key "build=$CACHE/keys/build.pub" >>"$DATA/host.log" 2>&1 </dev/null &
  echo $! >"$DATA/host.pid"
fi
for _ in $(seq 1 150); do
  curl -fs -o /dev/null "$URL/readyz" 2>/dev/null && break
  running "$DATA/host.pid" || { tail -n 20 "$DATA/host.log"; fail "the host ended: its log is $DATA/host.log"; }
  sleep 0.1
done
curl -fs -o /dev/null "$URL/readyz" || { tail -n 20 "$DATA/host.log"; fail "the host does not answer on $URL; its log is $DATA/host.log"; }

if ! running "$DATA/agent.pid"; then
  say "starting the agent of this machine"
  if [ -z "$(ls -A "$DATA/agent" 2>/dev/null)" ]; then
    token=$("$BIN/plenum" admin enrolment-token --data "$DATA")
    "$BIN/plenum-agent" enrol --host "127.0.0.1:$AGENT_PORT" --token "$token" --state "$DATA/agent" >>"$DATA/agent.log" 2>&1 ||
      { tail -n 5 "$DATA/agent.log"; fail "the agent could not enrol"; }
  fi
  setsid nohup "$BIN/plenum-agent" run --state "$DATA/agent" >>"$DATA/agent.log" 2>&1 </dev/null &
  echo $! >"$DATA/agent.pid"
fi

say "ready"
echo
echo "  Plenum        $URL"
if [ -e "$DATA/first-administrator" ]; then
  sed 's/^/  /' "$DATA/first-administrator"
  echo "                (kept in ${DATA/#$ROOT\//}/first-administrator until you delete it; change the password under your name)"
else
  echo "  Sign in       with the account you have"
fi
echo "  Next          sign in, open Catalog, and install the Inspection Center"
echo "  Stop          make stop      Logs   make logs"
echo
