"""Stages as a graph: what a stage is built on and copies from, and which stages a target needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.build.dockerfile.instructions import Copy, Run, Stage
from composer.build.dockerfile.mounts import mount_origin
from composer.build.dockerfile.words import expand
from composer.build.scope import GlobalArguments
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from composer.build.dockerfile.parser import Dockerfile


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
        return Origin("stage", index)
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
        return Origin("stage", index)
    lowered = name.lower()
    found = _earlier(dockerfile, lowered, stage.index)
    if found is not None:
        return Origin("stage", found)
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


def context_key(name: str, contexts: Mapping[str, str]) -> str:
    """The named context that replaces *name*, or an empty string; names are compared normalised."""
    if name in contexts:
        return name
    wanted = _normal(name)
    return next((key for key in contexts if _normal(key) == wanted), "")


def _normal(name: str) -> str:
    from composer.errors import ImageError
    from composer.images.reference import parse

    try:
        return parse(name).canonical
    except ImageError:
        return name.lower()


def origins(stage: Stage) -> Iterator[tuple[int, str]]:
    """Line and name of every `--from` and mount `from` in *stage*."""
    for instruction in stage.instructions:
        if isinstance(instruction, Copy) and instruction.source:
            yield instruction.node.first_line, instruction.source
        elif isinstance(instruction, Run):
            for mount in instruction.mounts:
                if name := mount_origin(mount):
                    yield instruction.node.first_line, name


def stage_graph(dockerfile: Dockerfile, globals_: GlobalArguments) -> Any:
    """A `networkx.DiGraph` with an edge from each stage (its index) to the stages that it is made from."""
    import networkx as nx

    graph: Any = nx.DiGraph()
    for stage in dockerfile.stages:
        graph.add_node(stage.index, name=stage.name)
        graph.add_edges_from((stage.index, index) for index in stage_inputs(dockerfile, stage, globals_))
    return graph


def needed_stages(dockerfile: Dockerfile, target: int, globals_: GlobalArguments | None = None) -> set[int]:
    """Indices of all stages that *target* is made from, itself included."""
    known = globals_ or GlobalArguments({}, {}, {})
    if not stage_inputs(dockerfile, dockerfile.stages[target], known):
        return {target}  # most Dockerfiles; networkx takes a tenth of a second to import
    import networkx as nx

    return {target, *nx.descendants(stage_graph(dockerfile, known), target)}


def stage_inputs(dockerfile: Dockerfile, stage: Stage, globals_: GlobalArguments) -> list[int]:
    """Indices of the earlier stages that *stage* names."""
    found = []
    base = base_stage(dockerfile, stage, globals_)
    if base is not None:
        found.append(base)
    for _, name in origins(stage):
        if name.isdigit():
            if int(name) < stage.index:
                found.append(int(name))
            continue
        index = _earlier(dockerfile, name.lower(), stage.index)
        if index is not None:
            found.append(index)
    return found


def _earlier(dockerfile: Dockerfile, name: str, before: int) -> int | None:
    for index in reversed(dockerfile.names.get(name, ())):
        if index < before:
            return index
    return None
