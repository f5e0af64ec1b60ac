"""Platforms: `os/arch[/variant]`, normalised, and which of an index's images this machine can run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}
_KNOWN_SYSTEMS = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasip1"}


class Platform(NamedTuple):
    """A normalised platform."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def parse_platform(text: str) -> Platform:
    """`linux/arm/v7`, `arm64`, `linux`: what is missing comes from this machine.

    Raises:
        ImageError: There are too many or empty parts.
    """
    parts = text.strip().lower().split("/")
    if len(parts) > 3 or not all(parts):
        raise ImageError(
            f"{text!r} is not a platform", hint="write os/architecture[/variant], as linux/arm64"
        )
    if len(parts) == 1:
        if parts[0] in _KNOWN_SYSTEMS:
            return host_platform()._replace(os=parts[0])
        return normalise("linux", parts[0])
    return normalise(*parts)


def normalise(system: str, architecture: str, variant: str = "") -> Platform:
    """The words of GOOS and GOARCH, with default variants as Docker has them."""
    architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
    variant = variant.lower() or implied
    if variant.isdigit():
        variant = f"v{variant}"
    if architecture == "arm64" and variant in ("v8", "v8.0"):
        variant = ""
    if architecture == "arm" and not variant:
        variant = "v7"
    if architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(system.lower(), architecture, variant)


def host_platform() -> Platform:
    """What this machine is."""
    return normalise("linux", os.uname().machine)


def wanted_platform(text: str = "", environ: Mapping[str, str] | None = None) -> Platform:
    """`--platform`, else DOCKER_DEFAULT_PLATFORM, else the host's."""
    env = os.environ if environ is None else environ
    chosen = text or env.get("DOCKER_DEFAULT_PLATFORM", "")
    return parse_platform(chosen) if chosen else host_platform()


def rank(offered: Platform, wanted: Platform) -> int | None:
    """How well *offered* runs where *wanted* was asked for: 0 is exact, larger worse, None not at all."""
    if offered.os != wanted.os:
        return None
    if offered == wanted:
        return 0
    same = offered.architecture == wanted.architecture
    have, want = _level(offered), _level(wanted)
    if same and wanted.architecture in ("amd64", "arm"):
        return want - have if have <= want else None
    if same and wanted.architecture == "arm64":
        return want - have if have <= want else None
    if wanted.architecture == "arm64" and offered.architecture == "arm" and 5 <= have <= 8:
        return 100 + 8 - have
    if wanted.architecture == "amd64" and offered.architecture == "386":
        return 100
    return None


def _level(platform: Platform) -> int:
    digits = platform.variant.lstrip("v").partition(".")[0]
    if digits.isdigit():
        return int(digits)
    return {"amd64": 1, "arm64": 8, "arm": 7}.get(platform.architecture, 0)
