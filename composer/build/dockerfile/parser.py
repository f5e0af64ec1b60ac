"""Instructions as written -> typed instructions and stages, with every check that needs no variables."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from composer.build.dockerfile import instructions as ins
from composer.build.dockerfile.durations import parse_duration
from composer.build.dockerfile.flags import Flags
from composer.build.dockerfile.heredocs import parse_heredoc
from composer.build.dockerfile.lexer import Node, Source, node_from_line, read
from composer.build.dockerfile.mounts import check_mount
from composer.errors import BuildError, Location
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_MILLISECOND = 1_000_000
_T = TypeVar("_T")


@frozen
class Dockerfile:
    """A parsed file.

    Attributes:
        source: As written.
        arguments: ARGs before the first FROM.
        stages: In order.
        names: Stage name -> indices of the stages that have it, in order.
    """

    source: Source
    arguments: tuple[ins.Arg, ...]
    stages: tuple[ins.Stage, ...]
    names: Mapping[str, tuple[int, ...]]

    def location(self, line: int) -> Location:
        """A place in this file."""
        return Location(self.source.file, line)


def parse(text: str, file: str = "Dockerfile") -> Dockerfile:
    """Parse a whole Dockerfile.

    Raises:
        BuildError: With `where`, for whatever is wrong without knowing variables or files.
    """
    source = read(text, file)
    arguments: list[ins.Arg] = []
    stages: list[tuple[ins.From, list[ins.Instruction]]] = []
    for node in source.nodes:
        instruction = _located(file, node.first_line, lambda node=node: parse_instruction(node))  # type: ignore[misc]
        if isinstance(instruction, ins.From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, ins.Arg):
            arguments.append(instruction)
        else:
            raise BuildError(
                f"{node.keyword.upper()} stands before the first FROM",
                hint="begin with FROM; only ARG may come before it",
                where=Location(file, node.first_line),
            )
    names: dict[str, tuple[int, ...]] = {}
    for index, (start, _) in enumerate(stages):
        if start.name:
            names[start.name] = (*names.get(start.name, ()), index)
    return Dockerfile(
        source,
        tuple(arguments),
        tuple(ins.Stage(index, start, tuple(rest)) for index, (start, rest) in enumerate(stages)),
        names,
    )


def parse_trigger(expression: str, where: str) -> ins.Instruction:
    """Parse what an image's config keeps below `OnBuild`.

    Args:
        expression: One instruction, with its here-documents.
        where: What to call the place in errors.

    Raises:
        BuildError: It is no instruction, or one that ONBUILD does not allow.
    """
    source = read(expression, where)
    if len(source.nodes) != 1:
        raise BuildError(f"an ONBUILD trigger of {where} is not one instruction: {expression!r}")
    node = source.nodes[0]
    _check_trigger(node.name)
    return _located(where, node.first_line, lambda: parse_instruction(node))


def parse_instruction(node: Node) -> ins.Instruction:
    """One instruction.

    Raises:
        BuildError: Unknown keyword, wrong flags or arguments.
    """
    parser = _PARSERS.get(node.name)
    if parser is None:
        from difflib import get_close_matches

        near = get_close_matches(node.name, _PARSERS, 1, 0.4)
        raise BuildError(
            f"unknown instruction {node.keyword!r}", hint=f"did you mean {near[0].upper()}?" if near else ""
        )
    return parser(node, Flags(node.name, node.flags))


def _located(file: str, line: int, action: Callable[[], _T]) -> _T:
    try:
        return action()
    except BuildError as error:
        error.where = error.where or Location(file, line)
        raise


def _exactly_one(node: Node) -> str:
    if len(node.arguments.values) != 1:
        raise BuildError(f"{node.keyword.upper()} requires exactly one argument")
    return node.arguments.values[0]


def _at_least(node: Node, count: int) -> tuple[str, ...]:
    values = node.arguments.values
    if len(values) < count:
        word = {1: "one argument", 2: "two arguments"}[count]
        raise BuildError(f"{node.keyword.upper()} requires at least {word}")
    return values


def _from(node: Node, flags: Flags) -> ins.From:
    values = node.arguments.values
    if len(values) == 3 and values[1].lower() == "as":
        name = values[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise BuildError(
                f"{values[2]!r} is not a name for a build stage",
                hint="begin it with a letter; use letters, digits, '-', '_' and '.'",
            )
        return ins.From(node, values[0], name, values[2], flags.string("platform"))
    if len(values) != 1:
        raise BuildError("FROM requires either one or three arguments", hint="write FROM image [AS name]")
    return ins.From(node, values[0], platform=flags.string("platform"))


def _arg(node: Node, _flags: Flags) -> ins.Arg:
    items: list[tuple[str, str | None]] = []
    for word in _at_least(node, 1):
        name, equals, value = word.partition("=")
        if not name:
            raise BuildError("an ARG name is blank")
        items.append((name, value if equals else None))
    return ins.Arg(node, tuple(items))


def _pairs(node: Node) -> tuple[tuple[str, str], ...]:
    values = _at_least(node, 1)
    pairs = tuple(zip(values[::2], values[1::2], strict=True))
    if not all(name for name, _ in pairs):
        raise BuildError(f"a name of {node.keyword.upper()} is blank")
    return pairs


def _env(node: Node, _flags: Flags) -> ins.Env:
    return ins.Env(node, _pairs(node))


def _label(node: Node, _flags: Flags) -> ins.Label:
    return ins.Label(node, _pairs(node))


def _run(node: Node, flags: Flags) -> ins.Run:
    network = flags.string("network") or "default"
    if network not in ("default", "none", "host"):
        raise BuildError(f"network mode {network!r} is not default, none or host")
    security = flags.string("security") or "sandbox"
    if security not in ("sandbox", "insecure"):
        raise BuildError(f"security mode {security!r} is not sandbox or insecure")
    mounts = flags.many("mount")
    for mount in mounts:
        check_mount(mount)
    return ins.Run(
        node,
        node.arguments.values,
        node.arguments.json,
        node.heredocs,
        mounts,
        network,
        security,
        flags.many("device"),
    )


def _copy(node: Node, flags: Flags) -> ins.Copy:
    *sources, destination = _at_least(node, 2)
    bodies = list(node.heredocs)
    if not node.arguments.json and parse_heredoc(destination) is not None:
        raise BuildError(f"{node.keyword.upper()} cannot have a here-document as its destination")
    paths: list[str] = []
    heredocs = []
    for source in sources:
        opened = None if node.arguments.json else parse_heredoc(source)
        if opened is None:
            paths.append(source)
            continue
        body = next((body for body in bodies if body.name == opened.name), None)
        if body is None:
            paths.append(source)
            continue
        bodies.remove(body)
        heredocs.append(body)
    return ins.Copy(
        node,
        node.name == "add",
        tuple(paths),
        tuple(heredocs),
        destination,
        flags.string("from"),
        flags.string("chown"),
        flags.string("chmod"),
        flags.boolean("link"),
        flags.boolean("parents"),
        flags.many("exclude"),
        flags.boolean("keep-git-dir"),
        flags.string("checksum"),
        flags.boolean("unpack") if flags.given("unpack") else None,
    )


def _cmd(node: Node, _flags: Flags) -> ins.Cmd:
    return ins.Cmd(node, node.arguments.values, node.arguments.json)


def _entrypoint(node: Node, _flags: Flags) -> ins.Entrypoint:
    return ins.Entrypoint(node, node.arguments.values, node.arguments.json)


def _shell(node: Node, _flags: Flags) -> ins.Shell:
    values = _at_least(node, 1)
    if not node.arguments.json:
        raise BuildError("SHELL requires its arguments in JSON form", hint='write SHELL ["/bin/sh", "-c"]')
    return ins.Shell(node, values)


def _healthcheck(node: Node, flags: Flags) -> ins.Healthcheck:
    kind, *command = _at_least(node, 1)
    if kind.upper() == "NONE":
        if command:
            raise BuildError("HEALTHCHECK NONE takes no arguments")
        return ins.Healthcheck(node, ("NONE",))
    if kind.upper() != "CMD":
        raise BuildError(f"HEALTHCHECK knows CMD and NONE, not {kind!r}")
    if not command:
        raise BuildError("HEALTHCHECK CMD lacks its command")
    test = ("CMD", *command) if node.arguments.json else ("CMD-SHELL", *command)
    retries = flags.string("retries")
    if retries and not re.fullmatch(r"[+-]?[0-9]+", retries):
        raise BuildError(f"--retries {retries!r} is not a number")
    if int(retries or 0) < 0:
        raise BuildError("--retries cannot be negative")
    return ins.Healthcheck(
        node,
        test,
        _interval("interval", flags),
        _interval("timeout", flags),
        _interval("start-period", flags),
        _interval("start-interval", flags),
        int(retries or 0),
    )


def _interval(name: str, flags: Flags) -> int:
    text = flags.string(name)
    duration = parse_duration(text) if text else 0
    if duration != 0 and duration < _MILLISECOND:
        raise BuildError(f"--{name} cannot be less than 1ms")
    return duration


def _expose(node: Node, _flags: Flags) -> ins.Expose:
    return ins.Expose(node, _at_least(node, 1))


def _volume(node: Node, _flags: Flags) -> ins.Volume:
    paths = tuple(path.strip() for path in _at_least(node, 1))
    if not all(paths):
        raise BuildError("a path of VOLUME is empty")
    return ins.Volume(node, paths)


def _user(node: Node, _flags: Flags) -> ins.User:
    return ins.User(node, _exactly_one(node))


def _workdir(node: Node, _flags: Flags) -> ins.Workdir:
    return ins.Workdir(node, _exactly_one(node))


def _stopsignal(node: Node, _flags: Flags) -> ins.StopSignal:
    return ins.StopSignal(node, _exactly_one(node))


def _maintainer(node: Node, _flags: Flags) -> ins.Maintainer:
    return ins.Maintainer(node, _exactly_one(node))


def _onbuild(node: Node, _flags: Flags) -> ins.Onbuild:
    line = node.arguments.nested
    if not line.strip():
        raise BuildError("ONBUILD requires at least one argument")
    inner = onbuild_node(node)
    _check_trigger(inner.name)
    if inner.name in _PARSERS:
        parse_instruction(inner)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return ins.Onbuild(node, line.strip() + bodies)


def onbuild_node(node: Node) -> Node:
    """The instruction below an ONBUILD."""
    inner = node_from_line(
        node.arguments.nested, node.escape, first_line=node.first_line, last_line=node.last_line
    )
    return replace(inner, heredocs=node.heredocs)


def _check_trigger(name: str) -> None:
    if name == "onbuild":
        raise BuildError("ONBUILD cannot stand below ONBUILD")
    if name in ("from", "maintainer"):
        raise BuildError(f"{name.upper()} is not allowed below ONBUILD")


_PARSERS: Mapping[str, Callable[[Node, Flags], ins.Instruction]] = {
    "add": _copy,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
