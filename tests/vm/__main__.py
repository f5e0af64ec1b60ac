"""`python -m tests.vm test [pytest arguments]`, `python -m tests.vm shell`, `python -m tests.vm image`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.vm import image, machine, payload

RESULTS = image.CACHE / "results"
SUITES = ("tests/integration", "tests/e2e", "tests/vm/inside")
LIMIT = 45 * 60.0

PREPARE = """#!/bin/bash
# Written by tests/vm: runs inside the machine.
export PATH=/opt/composer/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
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
mkdir -p /payload/results
if [ ! -e /payload/results/machine ]; then
    {
        echo "kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), Python $(python3 -V | cut -d' ' -f2)"
        echo "systemd $(systemctl --version | head -n 1), controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
    } >/payload/results/machine
    cat /payload/results/machine
    # A scope of its own below system.slice: what a user's login would be.
    python3 -m pytest @ARGUMENTS@ -p no:cacheprovider --timeout 600 -o timeout=600 --color=no \\
        --junit-xml /payload/results/junit.xml 2>&1 | tee /payload/results/output.txt
    journalctl -b --no-pager -q -o short-monotonic >/payload/results/journal.txt 2>&1
    dmesg >/payload/results/dmesg.txt 2>&1
fi
tar -cf /dev/vdc -C /payload/results .
sync
systemctl poweroff --no-wall
"""

SHELL = """
echo "The working tree is /payload/tree, composer is on PATH after: . /opt/composer/bin/activate" >/etc/motd
"""


def main(argv: list[str]) -> int:
    """Dispatch; returns the exit code."""
    what, arguments = (argv[0], argv[1:]) if argv else ("", [])
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
    started = time.monotonic()
    disk = image.cached_image()
    existing = [suite for suite in SUITES if (image.REPOSITORY / suite).is_dir()]
    words = arguments if any(not word.startswith("-") for word in arguments) else [*existing, *arguments]
    script = PREPARE + TEST.replace("@ARGUMENTS@", shlex.join(words))
    shutil.rmtree(RESULTS, ignore_errors=True)
    limit = float(os.environ.get("COMPOSER_VM_TIMEOUT", LIMIT))
    try:
        machine.run(disk, payload.build(script), RESULTS, interactive=False, timeout=limit)
    except RuntimeError as error:
        print(f"test-vm: {error}", file=sys.stderr)
        return 1
    return _report(time.monotonic() - started)


def _report(seconds: float) -> int:
    """Print where it ran and what came out; 0 only if tests ran and none failed."""
    junit = RESULTS / "junit.xml"
    print((RESULTS / "machine").read_text(encoding="utf-8").strip())
    if not junit.exists():
        print("test-vm: no JUnit file came out", file=sys.stderr)
        return 1
    suite = ET.parse(junit).getroot().find("testsuite")
    if suite is None:
        return 1
    count = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    bad = count["failures"] + count["errors"]
    passed = count["tests"] - bad - count["skipped"]
    print(f"JUnit file: {junit.relative_to(Path.cwd()) if junit.is_relative_to(Path.cwd()) else junit}")
    print(f"virtual machine: {passed} passed, {bad} failed, {count['skipped']} skipped in {seconds:.0f} s")
    return 0 if passed and not bad else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
