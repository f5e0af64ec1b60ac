"""Stages as a graph: what a stage is built on and copies from, and which stages a target needs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from composer.build.dockerfile.instructions import Copy, Run, Stage
from composer.build.dockerfile.mounts import mount_origin
from composer.build.dockerfile.words import expand
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from composer.build.dockerfile.parser import Dockerfile
    from composer.build.scope import GlobalArguments


@frozen
class Origin:
    """What a name in FROM, `--from` or `from=` stands for.

    Attributes:
        kind: `stage`, `context` (a named one), `image`, `scratch`, or `build` (the build context).
        stage: Index, when it is a stage.
        name: Name of the context or image.
    """

    kind: str
    stage: int = -1
    name: str = ""


def base_name(dockerfile: Dockerfile, stage: Stage, globals_: GlobalArguments) -> str:
    """What stands behind FROM, expanded.

    Raises:
        BuildError: It comes out blank, or its variables cannot be expanded.
    """
    where = dockerfile.location(stage.start.node.first_line)
    try:
        name = expand(stage.start.base, globals_.values, escape=dockerfile.source.escape).text
    except BuildError as error:
        error.where = error.where or where
        raise
    if not name:
        raise BuildError(
            f"the base image {stage.start.base!r} is blank",
            hint="give its ARG a default, or a value with --build-arg",
            where=where,
        )
    return name


def base_stage(dockerfile: Dockerfile, stage: Stage, globals_: GlobalArguments) -> int | None:
    """Index of the earlier stage that *stage* is built on, or None.

    Raises:
        WordError: The name cannot be expanded.
    """
    name = expand(stage.start.base, globals_.values, escape=dockerfile.source.escape).text.lower()
    return _earlier(dockerfile, name, stage.index)


def base_origin(
    dockerfile: Dockerfile, stage: Stage, globals_: GlobalArguments, contexts: Mapping[str, str]
) -> Origin:
    """What *stage* is built on.

    Raises:
        BuildError: The name is blank.
    """
    name = base_name(dockerfile, stage, globals_)
    index = _earlier(dockerfile, name.lower(), stage.index)
    if index is not None:
        return _stage_origin(dockerfile, index, contexts)
    key = context_key(name, contexts)
    if key:
        return Origin("context", name=key)
    return Origin("scratch") if name == "scratch" else Origin("image", name=name)


def copy_origin(dockerfile: Dockerfile, stage: Stage, name: str, contexts: Mapping[str, str]) -> Origin:
    """What `--from=name` stands for in *stage*: an earlier stage, a named context, or an image.

    Raises:
        BuildError: A number or name of this or a later stage, or a variable.
    """
    if not name:
        return Origin("build")
    if "$" in name:
        raise BuildError(
            f"--from={name} cannot hold a variable", hint="name a stage with FROM $VARIABLE AS name"
        )
    if name.isdigit():
        index = int(name)
        if index >= stage.index:
            raise BuildError(
                f"--from={name}: there is no earlier stage with that number",
                hint=f"stages before this one are 0 to {stage.index - 1}" if stage.index else "",
            )
        return _stage_origin(dockerfile, index, contexts)
    lowered = name.lower()
    found = _earlier(dockerfile, lowered, stage.index)
    if found is not None:
        return _stage_origin(dockerfile, found, contexts)
    key = context_key(name, contexts)
    if key:
        return Origin("context", name=key)
    if lowered in dockerfile.names:
        own = stage.name == lowered
        raise BuildError(
            f"stage {name!r} copies from itself" if own else f"stage {name!r} is defined later",
            hint="a stage may only copy from stages above it",
        )
    return Origin("scratch") if name == "scratch" else Origin("image", name=name)


def replacement(stage: Stage, contexts: Mapping[str, str]) -> str:
    """The named context that stands in for a whole stage, whose instructions do not run; or empty."""
    return context_key(stage.name, contexts) if stage.name else ""


def _stage_origin(dockerfile: Dockerfile, index: int, contexts: Mapping[str, str]) -> Origin:
    key = replacement(dockerfile.stages[index], contexts)
    return Origin("context", name=key) if key else Origin("stage", index)


def context_key(name: str, contexts: Mapping[str, str]) -> str:
    """The named context that replaces *name*, or an empty string; names are compared normalised."""
    if name in contexts:
        return name
    wanted = _normal(name)
    return next((key for key in contexts if _normal(key) == wanted), "")


def _normal(name: str) -> str:
    from composer.errors import ImageError
    from composer.images.reference import parse

    for spelling in (name, name.lower()):
        try:
            return parse(spelling).canonical
        except ImageError:
            continue
    return name


def origins(stage: Stage) -> Iterator[tuple[int, str]]:
    """Line and name of every `--from` and mount `from` in *stage*."""
    for instruction in stage.instructions:
        if isinstance(instruction, Copy) and instruction.source:
            yield instruction.node.first_line, instruction.source
        elif isinstance(instruction, Run):
            for mount in instruction.mounts:
                if name := mount_origin(mount):
                    yield instruction.node.first_line, name


def needed_stages(
    dockerfile: Dockerfile,
    target: int,
    globals_: GlobalArguments,
    contexts: Mapping[str, str],
) -> set[int]:
    """Indices of all stages that *target* is made from, itself included.

    Raises:
        BuildError: A base is blank, or a named context (`target:NAME`) makes a stage out of itself.
    """
    edges: dict[int, list[int]] = {}
    pending = [target]
    while pending:
        index = pending.pop()
        if index not in edges:
            edges[index] = stage_inputs(dockerfile, dockerfile.stages[index], globals_, contexts)
            pending += edges[index]
    if any(needed >= index for index, inputs in edges.items() for needed in inputs):
        _refuse_cycle(dockerfile, edges)
    return set(edges)


def _refuse_cycle(dockerfile: Dockerfile, edges: Mapping[int, list[int]]) -> None:
    """Stages only name earlier ones; named contexts may lead to later ones, and so in a circle."""
    from composer.graph import Edge, shortest_cycle

    titles = {index: dockerfile.stages[index].title for index in edges}
    lines = [Edge(titles[index], titles[needed]) for index, inputs in edges.items() for needed in inputs]
    cycle = shortest_cycle([titles[index] for index in sorted(edges)], lines)
    if cycle:
        first = next(index for index, title in titles.items() if title == cycle[0])
        raise BuildError(
            f"stage {cycle[0]!r} is made from itself: {' needs '.join(cycle)}",
            hint="a --build-context (target:...) closes the circle",
            where=dockerfile.location(dockerfile.stages[first].start.node.first_line),
        )


def stage_inputs(
    dockerfile: Dockerfile, stage: Stage, globals_: GlobalArguments, contexts: Mapping[str, str]
) -> list[int]:
    """Indices of the stages that *stage* names, itself or through a named context."""
    found: list[Origin] = []
    key = replacement(stage, contexts)
    if key:
        found.append(Origin("context", name=key))
    else:
        found.append(base_origin(dockerfile, stage, globals_, contexts))
        for _, name in origins(stage):
            with suppress(BuildError):  # which says its line when the instruction's turn comes
                found.append(copy_origin(dockerfile, stage, name, contexts))
    result = []
    for origin in found:
        if origin.kind == "stage":
            result.append(origin.stage)
        elif origin.kind == "context" and contexts[origin.name].startswith("target:"):
            result += dockerfile.names.get(contexts[origin.name][7:].lower(), ())[-1:]
    return result


def _earlier(dockerfile: Dockerfile, name: str, before: int) -> int | None:
    for index in reversed(dockerfile.names.get(name, ())):
        if index < before:
            return index
    return None
