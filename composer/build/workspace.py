"""What a RUN needs on this machine (copies, secrets in memory, sockets), and what the engine is asked for."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.build.cachemounts import copy_tree
from composer.build.run_plan import SCRIPT_DIRECTORY, PlannedMount, RunStep
from composer.build.selection import Entry
from composer.build.tree import DirectoryTree
from composer.build.upper import copy_content
from composer.engine import DEFAULT_CAPABILITIES, Attachment, ContainerConfig, Mount, Process, Rlimit
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.build.request import BuildRequest, SecretSource

SSH_SOCKET = "/run/buildkit/ssh_agent.{number}"
_SECRET_LIMIT = 500 * 1024


def needs_copy(planned: PlannedMount) -> bool:
    """Whether a bind mount must be of a copy: what is hidden or owned by others, or what is written to."""
    source = planned.source
    if source is None or not planned.mount.read_only or not isinstance(planned.tree, DirectoryTree):
        return True
    if planned.tree.hides_something(source.path):
        return True
    own = Entry(source.path, "", source.found)
    return any(entry.found.st_uid or entry.found.st_gid for entry in (own, *source.entries))


@dataclass(slots=True)
class Workspace:
    """What a RUN needs on this machine: copies, secret files, sockets; all gone with its scratch directory.

    Attributes:
        scratch: On the store's file system.
        private: On a file system in memory, mode 0700, for secrets.
        mounts: For the engine.
        environment: Variables of secrets and agents.
    """

    scratch: str
    private: str
    mounts: list[Mount] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def fresh(self, directory: str) -> str:
        """A name in *directory* that nobody else uses."""
        self._count += 1
        return f"{directory}/{self._count}"

    def bind(self, planned: PlannedMount) -> None:
        """Prepare a bind mount."""
        source, tree = planned.source, planned.tree
        if source is None or tree is None:
            raise BuildError(f"mount {planned.target} has nothing to show")
        if not needs_copy(planned):
            host = tree.host_path(source.path)
        elif source.is_directory:
            host = self.fresh(self.scratch)
            os.mkdir(host)
            copy_tree(tree, source.path, host, keep_owner=planned.keep_owner)
            os.chmod(host, stat.S_IMODE(source.found.st_mode))
            if planned.keep_owner:
                os.chown(host, source.found.st_uid, source.found.st_gid)
        else:
            host = self.fresh(self.scratch)
            copy_content(tree.host_path(source.path), host, source.found)
            os.chmod(host, stat.S_IMODE(source.found.st_mode))
        self.mounts.append(Mount("bind", planned.target, host, read_only=planned.mount.read_only))

    def tmpfs(self, planned: PlannedMount) -> None:
        """Prepare a tmpfs."""
        options = (f"size={planned.mount.size}",) if planned.mount.size else ()
        self.mounts.append(Mount("tmpfs", planned.target, options=options))

    def cache(self, planned: PlannedMount, directory: str) -> None:
        """Mount a cache directory."""
        self.mounts.append(Mount("bind", planned.target, directory, read_only=planned.mount.read_only))

    def secret(self, planned: PlannedMount, secrets: Mapping[str, SecretSource]) -> None:
        """Prepare a secret: a file in memory, a variable, or nothing when it may be absent.

        Raises:
            BuildError: It is required and absent, or cannot be read.
        """
        mount = planned.mount
        name = mount.id or os.path.basename(mount.target)
        source = secrets.get(name)
        if source is None:
            if mount.required:
                raise BuildError(
                    f"secret {name!r} is required", hint=f"give it with --secret id={name},src=FILE"
                )
            return
        data = read_secret(name, source)
        if mount.env:
            self.environment[mount.env] = data.decode(errors="surrogateescape")
        if planned.target:
            host = self.fresh(self.private)
            write_private(host, data, mount.uid or 0, mount.gid or 0, mount.mode)
            self.mounts.append(Mount("bind", planned.target, host, read_only=True))

    def agent(self, target: str, path: str) -> None:
        """Mount the socket of an ssh agent; the first one is what SSH_AUTH_SOCK names."""
        self.mounts.append(Mount("bind", target, path))
        self.environment.setdefault("SSH_AUTH_SOCK", target)

    def script(self, name: str, data: bytes) -> None:
        """Put a here-document where it can be executed."""
        host = self.fresh(self.scratch)
        with open(host, "xb") as file:
            file.write(data)
        os.chmod(host, 0o755)  # noqa: S103 - the step's user has to execute it
        self.mounts.append(Mount("bind", f"{SCRIPT_DIRECTORY}/{name}", host, read_only=True))


def read_secret(name: str, source: SecretSource) -> bytes:
    """The bytes of a secret.

    Raises:
        BuildError: Its file cannot be read, or is larger than 500 KiB.
    """
    if source.value is not None:
        return source.value.encode("utf-8", "surrogateescape")
    try:
        with open(source.file, "rb") as file:
            data = file.read(_SECRET_LIMIT + 1)
    except OSError as error:
        raise BuildError(f"cannot read secret {name!r} from {source.file}: {error.strerror}") from error
    if len(data) > _SECRET_LIMIT:
        raise BuildError(f"secret {name!r} is larger than 500 KiB")
    return data


def write_private(path: str, data: bytes, uid: int, gid: int, mode: int | None) -> None:
    """A file that only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with open(descriptor, "wb") as file:
        file.write(data)
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, 0o400 if mode is None else mode)


def container_config(
    step: RunStep, workspace: Workspace, layers: tuple[str, ...], request: BuildRequest, network: str
) -> ContainerConfig:
    """What the engine is asked to run; *network* is the id of the build's network, when it needs one."""
    environment = {**step.extra, **step.environment, **workspace.environment}
    identity = os.urandom(32).hex()
    return ContainerConfig(
        id=identity,
        name=f"build-{identity[:12]}",
        process=Process(
            args=step.argv,
            env=tuple(f"{name}={value}" for name, value in environment.items()),
            cwd=step.workdir,
            user=step.user,
            capabilities=DEFAULT_CAPABILITIES,
            rlimits=tuple(Rlimit(name, soft, hard) for name, (soft, hard) in request.ulimits.items()),
        ),
        project="build",
        layers=layers,
        hostname="buildkitsandbox",
        privileged=step.insecure,
        mounts=tuple(sorted(workspace.mounts, key=lambda mount: mount.target.count("/"))),
        shm_size=request.shm_size or 64 * 1024 * 1024,
        network_mode="bridge" if network else step.network,
        attachments=(Attachment(network=network),) if network else (),
        extra_hosts=request.extra_hosts,
    )
