# Sourced by the scripts that make runs: where things are, how progress is said, how missing tools are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
CACHE=${PLENUM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plenum}
export PLENUM_CACHE=$CACHE
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BIN=$TARGET/debug
CATALOG=$TARGET/catalog
STARTED=$SECONDS

say() { printf '\033[1;36m[%3ss]\033[0m %s\n' "$((SECONDS - STARTED))" "$*"; }
fail() { printf '\033[1;31mfailed:\033[0m %s\n' "$*" >&2; exit 1; }

# as_root COMMAND...: runs it as root, by sudo where needed.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

apt_updated=
# need COMMAND PACKAGES REASON: installs Debian packages when the command is missing, and says what and why.
need() {
  local command=$1 packages=$2 reason=$3
  command -v "$command" >/dev/null 2>&1 && return 0
  say "installing $packages: $reason"
  command -v apt-get >/dev/null || fail "$command is missing ($reason) and there is no apt-get here: install it and run make again"
  if [ -z "$apt_updated" ]; then
    as_root apt-get update -qq >/dev/null 2>&1 || true
    apt_updated=1
  fi
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >"${TMPDIR:-/tmp}/plenum-apt.log" 2>&1 ||
    fail "apt-get could not install $packages ($reason); its output is in ${TMPDIR:-/tmp}/plenum-apt.log. Install it by hand and run make again"
}

version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_build_tools() {
  need cc "gcc libc6-dev make" "C compiler, for SQLite and the TLS library"
  local rust=
  command -v rustc >/dev/null && rust=$(rustc --version | awk '{print $2}')
  if [ -z "$rust" ] || ! version_at_least "$rust" 1.95.0 || ! command -v cargo >/dev/null; then
    say "found Rust ${rust:-nowhere}; 1.95 or newer is needed"
    need_force "rustc-web cargo-web rust-web-llvm lld-22" "Rust compiler" "Install Rust 1.95 or newer from https://rustup.rs and run make again"
  fi
}

need_force() {
  say "installing $1: $2"
  command -v apt-get >/dev/null || fail "$2 is missing and there is no apt-get here: install it and run make again"
  as_root apt-get update -qq >/dev/null 2>&1 || true
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >"${TMPDIR:-/tmp}/plenum-apt.log" 2>&1 ||
    fail "apt-get could not install $1; its output is in ${TMPDIR:-/tmp}/plenum-apt.log. ${3:-Install it by hand and run make again}"
}

NODE_AT_LEAST=20.19.0
# What the portal's tools need where the system has an older one: Debian 12 has 18.
NODE_INSTEAD=22.23.3

need_node() {
  need node "nodejs npm" "builds the portal"
  need npm npm "builds the portal"
  local v machine
  [ -x "$CACHE/node/bin/node" ] && PATH=$CACHE/node/bin:$PATH
  v=$(node --version | tr -d v)
  version_at_least "$v" "$NODE_AT_LEAST" && return 0
  case $(uname -m) in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) fail "Node.js $v is too old for the portal's tools; install $NODE_AT_LEAST or newer (https://nodejs.org) and run make again" ;;
  esac
  say "found Node.js $v; $NODE_AT_LEAST or newer is needed: installing $NODE_INSTEAD from the npm registry into $CACHE/node"
  rm -rf "$CACHE/node.new"
  npm install --silent --no-audit --no-fund --no-save --prefix "$CACHE/node.new" "node-linux-$machine@$NODE_INSTEAD" >"${TMPDIR:-/tmp}/plenum-node.log" 2>&1 ||
    fail "Node.js $NODE_INSTEAD could not be installed; npm's output is in ${TMPDIR:-/tmp}/plenum-node.log. Install $NODE_AT_LEAST or newer (https://nodejs.org) and run make again"
  rm -rf "$CACHE/node"
  mv "$CACHE/node.new/node_modules/node-linux-$machine" "$CACHE/node"
  rm -rf "$CACHE/node.new"
  PATH=$CACHE/node/bin:$PATH
  hash -r
}

# Python with what makes environments: plugins in Python are built in one.
need_venv() {
  need python3 "python3 python3-venv" "builds plugins in Python"
  python3 -c 'import venv, ensurepip' 2>/dev/null || need_force python3-venv "Python's venv and ensurepip, for plugins in Python"
}

# fresh STAMP PATHS...: whether nothing below the paths is newer than the stamp.
fresh() {
  local stamp=$1
  shift
  [ -e "$stamp" ] && [ -z "$(find "$@" -newer "$stamp" -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/target/*' -not -path '*/__pycache__/*' -print -quit 2>/dev/null)" ]
}
