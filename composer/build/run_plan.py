"""RUN: its argument vector, its mounts, its cache key. What it takes to run it is in `workspace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.build.dockerfile.heredocs import parse_heredoc
from composer.build.dockerfile.mounts import RunMount, parse_mount
from composer.build.patterns import IgnoreRules
from composer.build.records import step_key
from composer.build.selection import Source, select
from composer.build.tree import Tree, resolve
from composer.errors import BuildError, UnsupportedError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.build.digests import FileDigests
    from composer.build.dockerfile.instructions import Run
    from composer.build.request import BuildRequest
    from composer.build.state import StageState

SCRIPT_DIRECTORY = "/dev/pipes"
"""Where a here-document that begins with `#!` is executed from."""


@frozen
class PlannedMount:
    """A mount with its absolute target, and what it is taken from."""

    mount: RunMount
    target: str
    tree: Tree | None = None
    keep_owner: bool = False
    source: Source | None = None


@frozen
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
    if network not in ("default", "none", "host"):
        raise UnsupportedError(
            f"network {network!r} is not for builds", hint="use default, none or host for build.network"
        )
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
