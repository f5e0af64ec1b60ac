"""One run of the virtual machine under qemu."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.vm.image import Image

MEMORY = "3072"
RESULTS = 1 << 30  # bytes, sparse


def accelerator() -> list[str]:
    """KVM when a processor that can do it is there and the device opens, else qemu's own translation.

    A device node alone is no proof: inside many virtual machines it opens, and then the guest hangs.
    """
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    if (" vmx " in flags or " svm " in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def run(image: Image, payload: Path, results: Path, *, interactive: bool, timeout: float | None) -> None:
    """Boot, let the payload work, wait for the power-off, and unpack what it left into *results*.

    The image itself is never written: changes go to a temporary overlay.

    Args:
        image: What to boot.
        payload: A tar archive; the guest unpacks it to /payload and runs /payload/run.
        results: A directory; the guest writes a tar archive to its third disk.
        interactive: Give the serial console to this terminal (leave with Ctrl-A X).
        timeout: Seconds after which the machine is stopped.

    Raises:
        RuntimeError: The machine did not come up, did not end in time, or left no results.
    """
    with tempfile.TemporaryDirectory(dir=image.disk.parent.parent, prefix="run-") as work:
        overlay, out = Path(work) / "root.qcow2", Path(work) / "results.img"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk), str(overlay)],
            check=True,
        )
        with out.open("wb") as stream:
            stream.truncate(RESULTS)
        command = [
            "qemu-system-x86_64", *accelerator(), "-smp", "2", "-m", MEMORY,
            "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append",
            "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=no systemd.unified_cgroup_hierarchy=1 "
            "psi=1 net.ifnames=0 random.trust_cpu=on mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
            + ("" if interactive else " systemd.mask=serial-getty@ttyS0.service"),
            "-drive", f"file={overlay},if=virtio,format=qcow2,cache=unsafe",
            "-drive", f"file={payload},if=virtio,format=raw,readonly=on",
            "-drive", f"file={out},if=virtio,format=raw,cache=unsafe",
            "-nic", "user,model=virtio-net-pci,restrict=on,net=192.0.2.0/24,host=192.0.2.2",
            "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
            "-display", "none", "-monitor", "none", "-serial", "mon:stdio" if interactive else "stdio",
        ]  # fmt: skip
        if interactive:
            command[command.index("-monitor") : command.index("-monitor") + 2] = []
        process = subprocess.Popen(command, stdin=None if interactive else subprocess.DEVNULL)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the machine was still running after {timeout:.0f} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code:
            raise RuntimeError(f"qemu ended with {code}")
        if interactive:
            return
        results.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(out) as archive:
                archive.extractall(results, filter="data")
        except tarfile.TarError as error:
            raise RuntimeError(f"the machine left no results: {error}") from error
    sys.stdout.flush()
