#!/bin/bash
# `make demo`: build and start examples/shop, ask it something through nginx, and say how to go on.
#
#   tools/demo.sh up | down
set -euo pipefail
cd "$(dirname "$0")/.."
composer=$PWD/.venv/bin/composer

if [ "$(id -u)" != 0 ]; then
    exec sudo --preserve-env=COMPOSER_HOME,COMPOSER_DEBIAN_MIRROR,SHOP_PORT "$0" "$@"
fi

show() {
    echo
    echo "\$ $*"
    "$@"
}

free_port() {
    local port
    for port in $(seq 8080 8099); do
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "demo: ports 8080 to 8099 are all in use; name another one in SHOP_PORT" >&2
    exit 1
}

running_port() {
    (cd examples/shop && "$composer" port proxy 80 2>/dev/null || true) | sed 's/.*://'
}

start() {
    # Dockerfiles begin with FROM debian:bookworm-slim; where no registry is reached, this is how it gets there.
    if ! "$composer" image inspect debian:bookworm-slim >/dev/null 2>&1; then
        "$composer" image import "$(tools/rootfs.sh debian)" debian:bookworm-slim
    fi
    local port
    port=${SHOP_PORT:-$(running_port)}
    SHOP_PORT=${port:-$(free_port)}
    export SHOP_PORT
    cd examples/shop
    show "$composer" up -d --wait --build
    show curl --silent --show-error --fail --data '{"name": "kettle", "cents": 3900}' "http://127.0.0.1:$SHOP_PORT/products"
    show curl --silent --show-error --fail "http://127.0.0.1:$SHOP_PORT/"
    show curl --silent --show-error --fail "http://127.0.0.1:$SHOP_PORT/"
    show "$composer" ps
    cat <<TEXT

The shop runs at http://127.0.0.1:$SHOP_PORT/. The products are PostgreSQL's, the visits Redis's, and served_by says
which replica answered. In examples/shop, with $composer on your PATH as composer:

  composer logs -f                       what everybody says
  composer exec web getent hosts db      a name, from inside
  composer up -d --wait --scale web=4    two replicas more
  composer down                          stop; the products stay in the volume
  composer down -v                       stop and forget

make demo-down does the last one.
TEXT
}

case "${1:-}" in
    up) start ;;
    down) cd examples/shop && "$composer" down -v ;;
    *)
        echo "usage: tools/demo.sh up|down" >&2
        exit 2
        ;;
esac
