#!/bin/bash
# All tests of this machine, as root; arguments go to pytest. Its exit status is pytest's.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/rootfs.sh busybox >/dev/null
tools/rootfs.sh debian >/dev/null
if [ "$(id -u)" != 0 ]; then
    echo "test: not root: the tests that make containers are skipped (sudo make test runs them)" >&2
fi
# Real processes on two busy cores: what failed among its neighbours is run once more, alone. What fails then
# has failed; what passes then stands in the first summary for whoever hunts a race.
status=0
.venv/bin/pytest --dist loadfile "$@" || status=$?
if [ "$status" = 1 ]; then
    status=0
    .venv/bin/pytest --last-failed --last-failed-no-failures none || status=$?
fi
exit "$status"
