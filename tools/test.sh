#!/bin/bash
# All tests of this machine, as root; arguments go to pytest. Its exit status is pytest's.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/rootfs.sh busybox >/dev/null
tools/rootfs.sh debian >/dev/null
if [ "$(id -u)" != 0 ]; then
    echo "test: not root: the tests that make containers are skipped (sudo make test runs them)" >&2
fi
exec .venv/bin/pytest --dist loadfile "$@"
