#!/usr/bin/env bash
# Stops the host and the agent of `make run`; with --status only says whether they run.
source "$(dirname "$0")/common.sh"
DATA=${PLENUM_DATA:-$ROOT/data}
for part in agent host; do
  pid=$(cat "$DATA/$part.pid" 2>/dev/null || true)
  if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
    [ "${1:-}" = --status ] && echo "$part: not running"
    rm -f "$DATA/$part.pid"
    continue
  fi
  if [ "${1:-}" = --status ]; then
    echo "$part: running, process $pid"
    continue
  fi
  kill "$pid"
  for _ in $(seq 1 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -0 "$pid" 2>/dev/null && { say "$part did not end in 15 s: killing it"; kill -9 "$pid"; }
  rm -f "$DATA/$part.pid"
  say "$part stopped"
done
