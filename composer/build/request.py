"""What a build is asked to do, and how the `build:` section of a Compose file becomes that."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen
class SecretSource:
    """Where a build secret comes from: a file on this machine, or a value (of an environment variable)."""

    file: str = ""
    value: str | None = None


@frozen
class BuildRequest:
    """One build.

    Attributes:
        context: Directory, git URL, or HTTP URL of an archive or Dockerfile.
        dockerfile: Path of the Dockerfile; relative ones are below the context; empty: `Dockerfile`.
        dockerfile_inline: The Dockerfile's text instead.
        tags: Names for the result.
        name: What progress calls the build; empty: its first tag.
        service: The Compose service it is for.
        args: `--build-arg`.
        labels: Labels added last of all.
        target: Stage to build; empty: the last.
        no_cache: Look nothing up.
        no_cache_filter: Stages in which nothing is looked up.
        pull: Resolve base images anew.
        contexts: Named contexts: path, `docker-image://`, `oci-layout://`, `target:`, git or HTTP URL.
        secrets: By id.
        ssh: Agent sockets by id.
        network: Network of RUN: empty or `default`, `host`, `none`.
        extra_hosts: `name=address` lines for RUN.
        shm_size: Bytes of /dev/shm for RUN, or None.
        ulimits: `name -> (soft, hard)` for RUN.
        privileged: RUN has all capabilities and devices.
        allow: Entitlements: `network.host`, `security.insecure`.
        platforms: Wanted platforms; empty: this machine's.
        cache_from: Where records are imported from, as `type=local,src=DIR` or an image name.
        cache_to: Where records are exported to, as `type=local,dest=DIR`.
        source_date_epoch: Seconds; no time in what is made may exceed it. None: not limited.
        check: Only run the build checks.
    """

    context: str
    dockerfile: str = ""
    dockerfile_inline: str = ""
    tags: tuple[str, ...] = ()
    name: str = ""
    service: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    shm_size: int | None = None
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    privileged: bool = False
    allow: frozenset[str] = frozenset()
    platforms: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    source_date_epoch: int | None = None
    check: bool = False

    @property
    def title(self) -> str:
        """What progress calls the build."""
        return self.name or (self.tags[0] if self.tags else "build")
