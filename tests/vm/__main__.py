"""`python -m tests.vm test [ci | reboot | pytest arguments]`, `python -m tests.vm shell`, `python -m tests.vm image`."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sys
import time
import xml.etree.ElementTree as ET

from tests.vm import image, machine, payload

RESULTS = image.CACHE / "results"
# A hundred rounds of up and down are for a processor that is not translated.
SUITES = ("tests/integration", "tests/e2e", "--ignore=tests/e2e/test_rounds.py")
# What differs from the host: the kernel, systemd, cgroup v2, the network stack. The rest is `make test-vm`'s.
CI_SUITES = ("tests/integration/system", "tests/integration/namespaces", "tests/integration/network")
PARALLEL = ("-v", "-n", "2", "--dist", "loadfile")
LIMIT = 60 * 60.0

PREPARE = """#!/bin/bash
# Written by tests/vm: runs inside the machine.
export PATH=/opt/composer/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export COMPOSER_SHOP_ARCHIVE=/payload/images/shop.tar
export COMPOSER_VM=1 COMPOSER_PATIENCE=4 CI=true PYTHONDONTWRITEBYTECODE=1
site=/opt/composer/lib/python3.11/site-packages
if [ ! -e /payload/installed ]; then
    cp -a /payload/site/. $site/
    echo /payload/tree >$site/composer-tree.pth
    printf '#!/opt/composer/bin/python\\nfrom composer.cli.main import main\\nraise SystemExit(main())\\n' \\
        >/opt/composer/bin/composer
    chmod 755 /opt/composer/bin/composer
    python3 -m compileall -q /payload/tree/composer
    touch /payload/installed
fi
cd /payload/tree
"""

TEST = """
results=/payload/results
test() { # NAME PYTEST-ARGUMENTS; what fails among its neighbours is run once more, alone, as tools/test.sh does
    local name=$1 pytest="python3 -m pytest --timeout 600 -o faulthandler_timeout=300 --color=no"
    shift
    $pytest "$@" --junit-xml $results/junit-$name.xml 2>&1 | tee -a $results/output.txt
    [ ${PIPESTATUS[0]} = 1 ] || return 0
    $pytest --last-failed --last-failed-no-failures none "$@" --junit-xml $results/junit-$name-again.xml 2>&1 |
        tee -a $results/output.txt
}
finish() {
    journalctl --no-pager -q -o short-monotonic >$results/journal.txt 2>&1
    tar -cf /dev/vdc -C $results .
    sync
    systemctl poweroff --no-wall
    exit
}
mkdir -p $results
if [ -e /payload/rebooted ]; then
    COMPOSER_REBOOTED=1 test reboot tests/vm/reboot -v -p no:randomly
    finish
fi
{
    echo "kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), Python $(python3 -V | cut -d' ' -f2)"
    echo "$(systemctl --version | head -n 1), controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
} | tee $results/machine
if [ -n "@ARGUMENTS@" ]; then
    test suite @ARGUMENTS@
    dmesg >$results/dmesg.txt 2>&1
fi
if [ -n "@REBOOT@" ]; then
    test whole tests/vm/whole -v # changes the machine: alone
    touch /payload/rebooted
    if tests/vm/reboot/before.sh >$results/before-reboot.txt 2>&1; then
        systemctl reboot
        exit
    fi
    cat $results/before-reboot.txt
    test reboot tests/vm/reboot
fi
finish
"""

SHELL = """
echo "The working tree is /payload/tree, composer is on PATH after: . /opt/composer/bin/activate" >/etc/motd
"""


def main(argv: list[str]) -> int:
    """Dispatch; returns the exit code."""
    what, arguments = (argv[0], argv[1:]) if argv else ("", [])
    image.CACHE.mkdir(exist_ok=True)
    # One machine at a time: two would halve each other's speed, and they share payload and results.
    lock = (image.CACHE / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if what == "image":
        print(image.cached_image().disk)
        return 0
    if what == "shell":
        disk = image.cached_image()
        machine.run(disk, payload.build(PREPARE + SHELL), RESULTS, interactive=True, timeout=None)
        return 0
    if what == "test":
        return _test(arguments)
    print(__doc__, file=sys.stderr)
    return 2


def _test(arguments: list[str]) -> int:
    """Everything, what changes the machine, and its reboot; with arguments only what pytest is told.

    `ci` is the part for which the machine matters, and these; `reboot` is these alone.
    """
    started = time.monotonic()
    disk = image.cached_image()
    options = [word for word in arguments if word not in ("ci", "reboot")]
    whole = not any(not word.startswith("-") for word in options)
    reboot = whole
    if arguments == ["reboot"]:
        words = []
    elif whole:
        words = [*(CI_SUITES if "ci" in arguments else SUITES), *PARALLEL, *options]
    else:
        words = options
    script = PREPARE + TEST.replace("@ARGUMENTS@", shlex.join(words)).replace(
        "@REBOOT@", "1" if reboot else ""
    )
    shutil.rmtree(RESULTS, ignore_errors=True)
    limit = float(os.environ.get("COMPOSER_VM_TIMEOUT", LIMIT))
    try:
        with_shop = bool(words) and "ci" not in arguments
        machine.run(
            disk, payload.build(script, with_shop=with_shop), RESULTS, interactive=False, timeout=limit
        )
    except RuntimeError as error:
        print(f"test-vm: {error}", file=sys.stderr)
        return 1
    wanted = [*(["suite"] if words else []), *(["whole", "reboot"] if reboot else [])]
    return _report(wanted, time.monotonic() - started)


def _report(wanted: list[str], seconds: float) -> int:
    """Print where it ran and what came out; 0 only if every suite ran and nothing failed at last."""
    print((RESULTS / "machine").read_text(encoding="utf-8").strip())
    passed = failed = skipped = alone = 0
    complete = True
    for name in wanted:
        first, again = _counts(f"junit-{name}.xml"), _counts(f"junit-{name}-again.xml")
        if not first["tests"]:
            print(f"test-vm: the {name} ran no tests, see {RESULTS}", file=sys.stderr)
            complete = False
            continue
        bad = first["failures"] + first["errors"]
        passed += first["tests"] - bad - first["skipped"]
        skipped += first["skipped"]
        if again["tests"]:
            still = again["failures"] + again["errors"]
            alone += bad - still
            bad = still
        failed += bad
    print(f"JUnit files, journal and output: {RESULTS}")
    second = f" ({alone} more only alone)" if alone else ""
    print(f"virtual machine, {seconds:.0f} s: {passed} passed{second}, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed and complete else 1


def _counts(name: str) -> dict[str, int]:
    path = RESULTS / name
    suite = ET.parse(path).getroot().find("testsuite") if path.exists() else None
    keys = ("tests", "failures", "errors", "skipped")
    return {key: int(suite.get(key, "0")) if suite is not None else 0 for key in keys}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
