# Plenum inspection driver. Runs the checks below, at most @PARALLEL@ at once, each with its own time and output limit, and prints one frame.
# A check's output goes to files and leaves this machine in base64, so nothing that a check prints can be taken for the driver's words.
if [ "${BASH_VERSINFO[0]:-0}" -lt 4 ]; then echo "PLENUM-INSPECT-FAILED @NONCE@ bash 4 or newer is needed, this is ${BASH_VERSION:-another shell}"; exit 3; fi
export LC_ALL=C LANG=C TERM=dumb PAGER=cat SYSTEMD_PAGER='' SYSTEMD_COLORS=0 PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
umask 077
# Memory first: on a machine whose disks are full, the report about it must still get out.
D=
for d in /dev/shm /run "${TMPDIR:-/tmp}" /var/tmp; do D=$(mktemp -d "$d/plenum-inspect.XXXXXXXX" 2>/dev/null) && break; done
if [ -z "$D" ]; then echo "PLENUM-INSPECT-FAILED @NONCE@ no writable directory among /dev/shm /run ${TMPDIR:-/tmp} /var/tmp"; exit 3; fi
trap 'rm -rf "$D"' EXIT
trap 'exit 143' TERM INT HUP
cd / || exit 3
exec </dev/null
have() { command -v "$1" >/dev/null 2>&1; }
skip() { printf '%s' "$*" >"$WHY"; exit 77; }
na() { printf '%s' "$*" >"$WHY"; exit 78; }
need() { local c; for c; do have "$c" || skip "needs $c, which is not installed"; done; }
need_root() { [ "$EUID" = 0 ] || skip "needs root"; }
as_user() {
  local u=$1; shift
  if [ "$(id -un 2>/dev/null)" = "$u" ]; then "$@"; return; fi
  [ "$EUID" = 0 ] || skip "needs root or the user $u"
  id -u "$u" >/dev/null 2>&1 || skip "there is no user $u on this machine"
  if have runuser; then runuser -u "$u" -- "$@"
  elif have setpriv; then setpriv --reuid="$u" --regid="$(id -g "$u")" --init-groups -- "$@"
  else su -s /bin/sh "$u" -c "$(printf '%q ' "$@")"; fi
}
mkfifo "$D/done" || { echo "PLENUM-INSPECT-FAILED @NONCE@ mkfifo failed"; exit 3; }
exec 8<>"$D/done"
now() { if [ -n "${EPOCHREALTIME:-}" ]; then NOW=${EPOCHREALTIME/[.,]/}; NOW=${NOW%???}; else printf -v NOW '%(%s)T000' -1; fi; }
descendants() {
  local kids k
  kids=
  read -r kids 2>/dev/null <"/proc/$1/task/$1/children" || [ -n "$kids" ] || return 0
  for k in $kids; do printf '%s ' "$k"; descendants "$k"; done
}
declare -a ID LIMIT CODE STATE EXIT MS START UNTIL PID KILLS
@CHECKS@
PRELUDE=@PRELUDE@
# The outer shell reports the end on the pipe whatever happens to the inner one; it holds none of the driver's outputs, so a process
# that cannot be killed (hung NFS) does not keep the job open.
start() {
  ( WHY="$D/$1.why"
    ( ulimit -S -f @OUTPUT_KB@; eval "$PRELUDE"; eval "${CODE[$1]}" ) >"$D/$1.out" 2>"$D/$1.err" 8>&-
    printf '%s %s\n' "$1" "$?" >&8
  ) >/dev/null 2>&1 &
  PID[$1]=$!
}
n=${#ID[@]} next=0 running=0
now; T0=$NOW; END=$((NOW + @DEADLINE_MS@))
while :; do
  now
  while [ "$running" -lt @PARALLEL@ ] && [ "$next" -lt "$n" ] && [ "$NOW" -lt "$END" ]; do
    START[next]=$NOW; UNTIL[next]=$((NOW + LIMIT[next] * 1000)); KILLS[next]=0
    start "$next"; running=$((running + 1)); next=$((next + 1)); now
  done
  [ "$running" -gt 0 ] || break
  first=$((NOW + 60000))
  for i in "${!PID[@]}"; do [ "${UNTIL[i]}" -ge "$first" ] || first=${UNTIL[i]}; done
  ms=$((first - NOW)); [ "$ms" -ge 1 ] || ms=1
  printf -v t '%d.%03d' $((ms / 1000)) $((ms % 1000))
  if read -r -t "$t" -u 8 i code; then
    [ -n "${PID[i]:-}" ] || continue
    now; EXIT[i]=$code; MS[i]=$((NOW - START[i])); [ -n "${STATE[i]:-}" ] || STATE[i]=done
    wait "${PID[i]}" 2>/dev/null; unset "PID[i]"; running=$((running - 1))
    continue
  fi
  now
  for i in "${!PID[@]}"; do
    [ "${UNTIL[i]}" -le "$NOW" ] || continue
    STATE[i]=timeout; EXIT[i]=137; MS[i]=$((NOW - START[i]))
    if [ "${KILLS[i]}" -ge 2 ]; then unset "PID[i]"; running=$((running - 1)); continue; fi
    KILLS[i]=$((KILLS[i] + 1)); UNTIL[i]=$((NOW + 1000))
    kill -KILL $(descendants "${PID[i]}") 2>/dev/null
  done
done
files=()
for ((i = 0; i < n; i++)); do
  for x in out err why; do [ -e "$D/$i.$x" ] || : >"$D/$i.$x"; files+=("$D/$i.$x"); done
done
declare -a SIZE
k=0
while read -r size _; do SIZE[k]=$size; k=$((k + 1)); done < <(wc -c -- "${files[@]}")
now
printf '\nPLENUM-INSPECT 1 %s %s %s\n' @NONCE@ "$n" $((NOW - T0))
for ((i = 0; i < n; i++)); do
  printf 'check %s %s %s %s %s %s %s\n' "${ID[i]}" "${STATE[i]:-unrun}" "${EXIT[i]:-0}" "${MS[i]:-0}" "${SIZE[i * 3]}" "${SIZE[i * 3 + 1]}" "${SIZE[i * 3 + 2]}"
done
printf 'data\n'
cat -- "${files[@]}" | if have base64; then base64; else openssl base64; fi
printf 'end %s\n' @NONCE@
