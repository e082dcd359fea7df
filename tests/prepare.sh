#!/bin/sh
# Installs what the tests need from Debian's packages, if it is missing; says what to install where it may not.
set -eu

packages=
command -v beanstalkd >/dev/null 2>&1 || packages="$packages beanstalkd"
# Workers that are not ours are written in it.
command -v python3 >/dev/null 2>&1 || packages="$packages python3"
# SQLite is compiled with the program.
command -v cc >/dev/null 2>&1 || packages="$packages gcc libc6-dev"

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is missing: install Rust, at least the version that Cargo.toml names as rust-version" >&2
    exit 1
fi
[ -n "$packages" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    # -n: never wait for a password where nobody can type one.
    if command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        root=sudo
    fi
fi
if ! command -v apt-get >/dev/null 2>&1 || { [ "$(id -u)" -ne 0 ] && [ -z "$root" ]; }; then
    echo "the tests need what is not installed here:$packages" >&2
    echo "on Debian, as root: apt-get install$packages" >&2
    exit 1
fi

echo "installing$packages"
apt() {
    # env, since sudo may not hand on what is set here. Packages are words of the list.
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}
apt update
# shellcheck disable=SC2086
apt install -y --no-install-recommends $packages
# Debian starts a server of its own on installing; the tests start theirs, on other ports.
