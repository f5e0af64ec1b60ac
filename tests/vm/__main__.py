"""`python -m tests.vm test [reboot | pytest arguments]`, `python -m tests.vm shell`, `python -m tests.vm image`."""

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
SUITES = ("tests/integration", "tests/e2e")
LIMIT = 45 * 60.0

PREPARE = """#!/bin/bash
# Written by tests/vm: runs inside the machine.
export PATH=/opt/composer/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export COMPOSER_SHOP_ARCHIVE=/payload/images/shop.tar
export COMPOSER_VM=1 CI=true PYTHONDONTWRITEBYTECODE=1
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
test() {
    python3 -m pytest "$@" -p no:cacheprovider --timeout 600 --color=no 2>&1 | tee -a $results/output.txt
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
    COMPOSER_REBOOTED=1 test tests/vm/reboot -p no:randomly --junit-xml $results/junit-reboot.xml
    finish
fi
{
    echo "kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), Python $(python3 -V | cut -d' ' -f2)"
    echo "$(systemctl --version | head -n 1), controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
} | tee $results/machine
if [ -n "@ARGUMENTS@" ]; then
    test @ARGUMENTS@ --junit-xml $results/junit.xml
    dmesg >$results/dmesg.txt 2>&1
fi
if [ -n "@REBOOT@" ]; then
    touch /payload/rebooted
    if tests/vm/reboot/before.sh >$results/before-reboot.txt 2>&1; then
        systemctl reboot
        exit
    fi
    cat $results/before-reboot.txt
    test tests/vm/reboot --junit-xml $results/junit-reboot.xml
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
    """Everything and then the reboot; with arguments only what pytest is told (`reboot` alone: only the reboot)."""
    started = time.monotonic()
    disk = image.cached_image()
    words = arguments
    reboot = not arguments or arguments == ["reboot"]
    if arguments == ["reboot"]:
        words = []
    elif not any(not word.startswith("-") for word in arguments):
        words = [*(suite for suite in SUITES if (image.REPOSITORY / suite).is_dir()), "-v", *arguments]
    script = PREPARE + TEST.replace("@ARGUMENTS@", shlex.join(words)).replace(
        "@REBOOT@", "1" if reboot else ""
    )
    shutil.rmtree(RESULTS, ignore_errors=True)
    limit = float(os.environ.get("COMPOSER_VM_TIMEOUT", LIMIT))
    try:
        machine.run(disk, payload.build(script), RESULTS, interactive=False, timeout=limit)
    except RuntimeError as error:
        print(f"test-vm: {error}", file=sys.stderr)
        return 1
    wanted = [name for name, asked in (("junit.xml", bool(words)), ("junit-reboot.xml", reboot)) if asked]
    return _report(wanted, time.monotonic() - started)


def _report(wanted: list[str], seconds: float) -> int:
    """Print where it ran and what came out; 0 only if every suite ran and nothing failed."""
    print((RESULTS / "machine").read_text(encoding="utf-8").strip())
    passed = failed = skipped = 0
    complete = True
    for name in wanted:
        path = RESULTS / name
        suite = ET.parse(path).getroot().find("testsuite") if path.exists() else None
        if suite is None or suite.get("tests") == "0":
            print(f"test-vm: {name} holds no tests, see {RESULTS}", file=sys.stderr)
            complete = False
            continue
        count = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
        failed += count["failures"] + count["errors"]
        skipped += count["skipped"]
        passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]
    print(f"JUnit files, journal and output: {RESULTS}")
    print(f"virtual machine, {seconds:.0f} s: {passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed and complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
