#!/bin/bash
# Install what the project needs on a Debian or Ubuntu machine: packages, and the virtual environment .venv.
#
#   tools/setup.sh          what the tests need
#   tools/setup.sh demo     what composer itself and the demo need; no other container program
#   tools/setup.sh bench    what tests/benchmarks compares with, too
#   tools/setup.sh vm       what tests/vm needs, too
#
# Run again at any time: what is there is not touched, and then it takes a tenth of a second.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(python3 python3-venv ca-certificates git nftables libnftables1 iproute2 procps busybox-static mmdebstrap
    debian-archive-keyring xz-utils zstd curl)
[ "${1:-}" = demo ] || packages+=(iptables iputils-ping openssl openssh-client docker-registry apache2-utils skopeo podman)
case "${1:-}" in
    "" | demo) ;;
    bench) packages+=(docker.io podman buildah) ;;
    vm) packages+=(qemu-system-x86 qemu-utils e2fsprogs) ;;
    *)
        echo "usage: tools/setup.sh [demo|bench|vm]" >&2
        exit 2
        ;;
esac

say() { echo "setup: $*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    local name
    for name in "${packages[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] && return
    if ! command -v apt-get >/dev/null; then
        say "this machine has no apt-get; install these by hand: ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    # Daemons that come with the packages (docker, the registry) must not start: the tests start their own.
    local policy=/usr/sbin/policy-rc.d own_policy=no
    if [ ! -e $policy ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    local status=0
    as_root apt-get update -qq >&2 || status=$?
    [ $status = 0 ] && { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "${missing[@]}" >.setup.log 2>&1 || status=$?; }
    [ $own_policy = yes ] && as_root rm -f $policy
    if [ $status != 0 ]; then
        [ -e .setup.log ] && tail -n 20 .setup.log >&2
        say "apt-get could not install ${missing[*]}"
        exit 1
    fi
    rm -f .setup.log
}

find_python() {
    local name
    for name in "${COMPOSER_PYTHON:-python3}" /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say "no Python 3.11 or newer with the venv module; name one in COMPOSER_PYTHON"
    exit 1
}

make_environment() {
    local python key stamp=.venv/setup-stamp
    if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=$(find_python); fi
    key="$(sha256sum pyproject.toml | cut -c1-64) $("$python" -V) $PWD"
    [ "$(cat $stamp 2>/dev/null)" = "$key" ] && return
    say "installing the Python packages into .venv"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[dev]' >&2
    echo "$key" >$stamp
}

# Where PYTHONDONTWRITEBYTECODE is set, as in many images, every command would compile all of composer again,
# which takes longer than bringing a stack up. It is no loss where the directories are another user's.
compile_bytecode() {
    .venv/bin/python -m compileall -qq -o 0 -o 2 composer || true # the zygote runs with -OO
}

install_packages
make_environment
compile_bytecode
