"""RUN: its argument vector, its mounts, its cache key, and the process through `Engine.step`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from composer.build.dockerfile.heredocs import parse_heredoc
from composer.build.dockerfile.mounts import RunMount, parse_mount
from composer.build.patterns import IgnoreRules
from composer.build.records import step_key
from composer.build.selection import Source, select
from composer.build.tree import DirectoryTree, Tree, resolve
from composer.engine import DEFAULT_CAPABILITIES, ContainerConfig, Mount, Process, Resources, Rlimit
from composer.errors import BuildError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.build.digests import FileDigests
    from composer.build.dockerfile.instructions import Run
    from composer.build.request import BuildRequest, SecretSource
    from composer.build.state import StageState

SCRIPT_DIRECTORY = "/dev/pipes"
"""Where a here-document that begins with `#!` is executed from."""

SSH_SOCKET = "/run/buildkit/ssh_agent.{number}"


@dataclass(frozen=True, slots=True)
class PlannedMount:
    """A mount with its absolute target, and what it is taken from."""

    mount: RunMount
    target: str
    tree: Tree | None = None
    keep_owner: bool = False
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """A RUN with everything expanded.

    Attributes:
        argv: What is executed.
        shown: Its text in history and progress.
        environment: ENV and ARGs.
        extra: Variables that count in no key: proxies, secrets.
        workdir: Absolute.
        user: As `USER` has it.
        mounts: In the order given.
        network: default, none or host.
        insecure: `--security=insecure`.
        script: Content of a here-document that is executed itself, with its name.
    """

    argv: tuple[str, ...]
    shown: str
    environment: Mapping[str, str]
    extra: Mapping[str, str]
    workdir: str
    user: str
    mounts: tuple[PlannedMount, ...]
    network: str
    insecure: bool
    script: tuple[str, bytes] | None = None

    def key(self, parent: str, files: Mapping[int, FileDigests], **more: Any) -> str:
        """The cache key on top of the chain *parent*; secrets, proxies and cache ids do not count."""
        from composer.build.digests import digest_sources

        mounts = []
        for index, planned in enumerate(self.mounts):
            mount = planned.mount
            parts: dict[str, Any] = {
                "type": mount.type,
                "target": planned.target,
                "read_only": mount.read_only,
                "env": mount.env,
            }
            if mount.type == "bind" and planned.tree is not None and planned.source is not None:
                parts["content"] = digest_sources(
                    planned.tree,
                    [planned.source],
                    files[index],
                    keep_owner=planned.keep_owner,
                    landing=False,
                )
            mounts.append(parts)
        return step_key(
            kind="run",
            parent=parent,
            argv=self.argv,
            environment=list(self.environment.items()),
            workdir=self.workdir,
            user=self.user,
            network=self.network,
            insecure=self.insecure,
            mounts=mounts,
            script=self.script[1].hex() if self.script else "",
            **more,
        )


def plan_run(instruction: Run, state: StageState, request: BuildRequest) -> RunStep:
    """Expand a RUN; its mounts still lack their trees.

    Raises:
        BuildError: Mounts are wrong, or what it asks for was not allowed.
        UnsupportedError: It wants a CDI device.
    """
    if instruction.devices:
        raise UnsupportedError(f"RUN --device={instruction.devices[0]}: CDI devices are not supported")
    network = instruction.network if instruction.network != "default" else (request.network or "default")
    if instruction.network == "host" and "network.host" not in request.allow and request.network != "host":
        raise BuildError("RUN --network=host was not allowed", hint="build with --allow network.host")
    if instruction.security == "insecure" and not (
        "security.insecure" in request.allow or request.privileged
    ):
        raise BuildError(
            "RUN --security=insecure was not allowed", hint="build with --allow security.insecure"
        )
    argv, script = _argv(instruction, state)
    if not argv:
        raise BuildError("RUN has no command")
    mounts = []
    for text in instruction.mounts:
        mount = parse_mount(text, state.scope.text)
        mounts.append(PlannedMount(mount, _target(mount, state)))
    environment = state.scope.run_environment()
    args = {name: value for name, value in state.scope.args.items() if value is not None}
    shown = " ".join(argv)
    if args:
        pairs = " ".join(f"{name}={environment[name]}" for name in args)
        shown = f"|{len(args)} {pairs} {shown}"
    return RunStep(
        argv,
        f"RUN {shown}",
        environment,
        state.scope.proxies(),
        state.workdir,
        state.config.user,
        tuple(mounts),
        network,
        instruction.security == "insecure" or request.privileged,
        script,
    )


def _argv(instruction: Run, state: StageState) -> tuple[tuple[str, ...], tuple[str, bytes] | None]:
    if instruction.json:
        return instruction.command, None
    text = instruction.command[0] if instruction.command else ""
    script: tuple[str, bytes] | None = None
    if instruction.heredocs:
        alone = parse_heredoc(text)
        first = instruction.heredocs[0]
        if alone is None:
            text += "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
        elif first.content.startswith("#!"):
            text = f"{SCRIPT_DIRECTORY}/{first.name}"
            script = (first.name, first.text.encode())
        else:
            text = first.text
    return (*state.shell, text), script


def _target(mount: RunMount, state: StageState) -> str:
    if mount.type == "secret" and not mount.target:
        return "" if mount.env else f"/run/secrets/{mount.id}"
    if mount.type == "ssh" and not mount.target:
        return ""
    target = state.absolute(mount.target)
    if target == "/":
        raise BuildError(f"a {mount.type} mount cannot have the target /")
    return target


def select_mount(tree: Tree, mount: RunMount) -> Source:
    """What a bind mount shows.

    Raises:
        BuildError: Its source does not exist.
    """
    path = resolve(tree, mount.source or "/")
    if tree.lstat(path) is None:
        raise BuildError(f"mount source {mount.source or '/'!r} does not exist in what it is taken from")
    # Brackets keep a name with wildcards literal; the path has no links left.
    return select(tree, _literal(path), IgnoreRules())[0]


def _literal(path: str) -> str:
    if not any(character in path for character in "*?[\\"):
        return path or "/"
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in path)


def needs_copy(planned: PlannedMount) -> bool:
    """Whether a bind mount must be of a copy: what is hidden or owned by others, or what is written to."""
    source = planned.source
    if source is None or not planned.mount.read_only or not isinstance(planned.tree, DirectoryTree):
        return True
    if planned.tree.hides_something(source.path):
        return True
    return any(entry.found.st_uid or entry.found.st_gid for entry in (*source.entries, _own_entry(source)))


def _own_entry(source: Source) -> Any:
    from composer.build.selection import Entry

    return Entry(source.path, "", source.found)


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
        from composer.build.cachemounts import copy_tree

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
            from composer.build.upper import copy_content

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
            data = file.read(500 * 1024 + 1)
    except OSError as error:
        raise BuildError(f"cannot read secret {name!r} from {source.file}: {error.strerror}") from error
    if len(data) > 500 * 1024:
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
    step: RunStep, workspace: Workspace, layers: tuple[str, ...], request: BuildRequest
) -> ContainerConfig:
    """What the engine is asked to run."""
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
        resources=Resources(),
        shm_size=request.shm_size or 64 * 1024 * 1024,
        network_mode="none" if step.network == "none" else "host",
        extra_hosts=request.extra_hosts,
    )
