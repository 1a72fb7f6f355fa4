# Sourced by the scripts that make runs: where things are, how progress is said, how missing tools are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
CACHE=${PLENUM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plenum}
export PLENUM_CACHE=$CACHE
# Where Debian puts servers that the tests start; it is not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
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

RUST_AT_LEAST=1.95.0
WASM=wasm32-unknown-unknown
# Debian's compiler: what it takes to build the host, and plugins too.
DEBIAN_RUST="rustc-web cargo-web rust-web-src rust-web-llvm lld-22 ca-certificates"

rust_is_new() {
  local rust
  command -v cargo >/dev/null && rust=$(rustc --version 2>/dev/null | awk '{print $2}') && [ -n "$rust" ] && version_at_least "$rust" "$RUST_AT_LEAST"
}

need_build_tools() {
  need cc "gcc libc6-dev make" "C compiler, for SQLite and the TLS library"
  [ -x "$CACHE/rust/rustc" ] && PATH=$CACHE/rust:$PATH
  rust_is_new && return 0
  say "found $(rustc --version 2>/dev/null || echo "no Rust"); Rust $RUST_AT_LEAST or newer is needed"
  # A rustup whose default is older keeps its default: this build alone takes the newer one.
  if command -v rustup >/dev/null; then
    export RUSTUP_TOOLCHAIN=$RUST_AT_LEAST
    rust_is_new && return 0
    say "installing Rust $RUST_AT_LEAST with rustup"
    rustup toolchain install "$RUST_AT_LEAST" --profile minimal >"${TMPDIR:-/tmp}/plenum-rustup.log" 2>&1 && rust_is_new && return 0
    say "rustup could not (its output is in ${TMPDIR:-/tmp}/plenum-rustup.log): Debian's Rust then"
    unset RUSTUP_TOOLCHAIN
  fi
  local otherwise="Install Rust $RUST_AT_LEAST or newer from https://rustup.rs and run make again"
  need_force "$DEBIAN_RUST" "Rust compiler" "$otherwise"
  hash -r
  rust_is_new && return 0
  # An older one stands before Debian's in PATH.
  mkdir -p "$CACHE/rust"
  ln -sf /usr/bin/rustc /usr/bin/cargo /usr/bin/rustdoc "$CACHE/rust/"
  PATH=$CACHE/rust:$PATH
  hash -r
  rust_is_new || fail "the Rust compiler is still $(rustc --version 2>/dev/null || echo "missing"). $otherwise"
}

# What plugins are compiled with, as `plenum plugin build` looks for it: asked before the long build, not after it.
need_wasm() {
  local way=${PLENUM_WASM_TOOLCHAIN:-}
  case $way in installed | rustup) return 0 ;; esac
  if [ "$way" != debian ]; then
    ls "$(rustc --print target-libdir --target $WASM 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1 && return 0
    if command -v rustup >/dev/null; then
      say "adding Rust's target $WASM with rustup: plugins are compiled for it"
      rustup target add $WASM >"${TMPDIR:-/tmp}/plenum-rustup.log" 2>&1 && return 0
      say "rustup could not (its output is in ${TMPDIR:-/tmp}/plenum-rustup.log): Debian's Rust then, for the plugins"
    fi
  fi
  local lib
  lib=$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib
  [ -e "$lib/src/rust/library/std/Cargo.toml" ] && PATH=$PATH:$lib/$(uname -m)-unknown-linux-gnu/bin rust-lld -flavor wasm --version >/dev/null 2>&1 && return 0
  need_force "$DEBIAN_RUST" "compiles plugins to WebAssembly" "Run \`rustup target add $WASM\` where its server is reached, and make again"
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
  npm install --loglevel=error --no-audit --no-fund --no-save --prefix "$CACHE/node.new" "node-linux-$machine@$NODE_INSTEAD" >"${TMPDIR:-/tmp}/plenum-node.log" 2>&1 ||
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
