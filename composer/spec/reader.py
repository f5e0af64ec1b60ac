"""YAML text to trees with places: anchors, merge keys, duplicate keys, `!reset` and `!override`, limits.

Works on libyaml's events with an explicit stack, so that hostile nesting cannot exhaust the C stack, and
counts every node it makes, aliases included, so that an alias bomb ends early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml
from yaml._yaml import CParser

from composer.errors import Location, SpecError
from composer.spec.scalars import resolve
from composer.spec.tree import Map, Path, Place, Seq, Tagged, copy_tree, path_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NODES: Final = 100_000
MAX_DEPTH: Final = 200
MAX_BYTES: Final = 10 * 1024 * 1024

_SCALAR_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))


class Document(NamedTuple):
    """One YAML document. `resets` are the paths whose earlier values must go (`!reset`, `!override`)."""

    root: Any
    resets: tuple[Path, ...]


def read_documents(text: str, file: str) -> list[Document]:
    """All documents of *text*.

    Args:
        text: The YAML text.
        file: Its name for errors.

    Raises:
        SpecError: It is not YAML, breaks a rule of Compose (a duplicate or non-string key), or a limit.
    """
    if len(text) > MAX_BYTES:
        raise SpecError(f"{file} is too large: more than {MAX_BYTES // 1048576} MiB")
    try:
        return list(_Reader(file).documents(text))
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text, file) from None
    except yaml.YAMLError as error:
        character = getattr(error, "character", None)
        if character is not None:
            position = getattr(error, "position", 0)
            before = text[:position] if isinstance(position, int) else ""
            where = Location(file, before.count("\n") + 1)
            raise SpecError(
                f"not YAML: a character that YAML does not allow ({character!r})", where=where
            ) from None
        raise SpecError(f"not YAML: {' '.join(str(error).split())}", where=Location(file, 1)) from None
    except UnicodeEncodeError:
        raise SpecError("not YAML: the text is not valid Unicode", where=Location(file, 1)) from None


def _explained(error: yaml.MarkedYAMLError, text: str, file: str) -> SpecError:
    """What libyaml stumbled over, as what a person did; places are where the mistake begins."""
    mark = error.problem_mark or error.context_mark
    began = error.context_mark or mark
    context, problem = error.context or "", error.problem or ""
    said, hint = ", ".join(part for part in (context, problem) if part), ""
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    found = line[mark.column : mark.column + 1] if mark else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or found == "\t":
        said, hint = "a tab among the blanks that indent", "indent with spaces"
    elif "cannot start any token" in problem:
        said, hint = f"a value cannot begin with {found}", "put it in quotes"
    elif "mapping values are not allowed" in problem:
        hint = "put a value that contains ': ' in quotes, and check the indentation"
    elif "quoted scalar" in context and "unexpected end" in problem:
        mark, said, hint = began, "this quote is never closed", "close it"
    elif "expected '-'" in problem:
        said, hint = (
            "a list goes on without a dash",
            "begin the line with -, or move it out of the list",
        )
    elif "block mapping" in context and "expected key" in problem:
        said = f"this line is indented by {mark.column}, which fits no line above" if mark else said
        hint = "align it with the keys that it belongs to"
    elif "flow" in context and "did not find expected" in problem:
        mark, said = began, f"this bracket is never closed ({problem.removeprefix('did not find ')})"
    where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1)
    return SpecError(f"not YAML: {said}", where=where, hint=hint)


class _Reader:
    """The state of one file: anchors of the present document and the number of nodes so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, Any] = {}
        self.nodes = 0
        self.tagged = False

    def documents(self, text: str) -> Iterator[Document]:
        """Yield each document."""
        parser = CParser(text)
        try:
            get_event = parser.get_event
            while (event := get_event()) is not None:
                kind = type(event)
                if kind is yaml.DocumentStartEvent:
                    self.anchors = {}
                    self.tagged = False
                    root = self.node(get_event)
                    if self.tagged:
                        resets: list[Path] = []
                        root = _strip(root, (), resets)
                        yield Document(root, tuple(resets))
                    else:
                        yield Document(root, ())
        finally:
            parser.dispose()

    def count(self, place: Place, nodes: int = 1) -> None:
        """Count *nodes* more.

        Raises:
            SpecError: There are too many.
        """
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise SpecError(
                f"the file is too large: more than {MAX_NODES} values once aliases are followed",
                where=Location(*place),
                hint="use fewer aliases, or split the file with include",
            )

    def node(self, get_event: Any) -> Any:  # noqa: PLR0915 - one loop, run for every value of every file
        """Build one whole node with the events that follow."""
        stack: list[tuple[Any, Any, Any]] = []  # container, pending key, event that started it
        container: Any = None
        key: Any = None
        start: Any = None
        while True:
            event = get_event()
            kind = type(event)
            if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                value: Any = container
                if kind is yaml.MappingEndEvent and "<<" in container:
                    value = self.merge_keys(container)
                value = self.finish(value, start)
                started = start
                container, key, start = stack.pop()
            else:
                mark = event.start_mark
                place = (self.file, mark.line + 1, mark.column + 1)
                self.nodes += 1
                if self.nodes > MAX_NODES:
                    self.count(place, 0)
                if kind is yaml.ScalarEvent:
                    value = event.value
                    if event.tag is not None:
                        value = self.tagged_scalar(event)
                    elif event.implicit[0]:
                        value = resolve(value)
                    if event.anchor is not None:
                        self.anchors[event.anchor] = value
                elif kind is yaml.AliasEvent:
                    value = self.alias(event, place)
                else:
                    if len(stack) >= MAX_DEPTH:
                        raise SpecError(f"nested deeper than {MAX_DEPTH} levels", where=Location(*place))
                    stack.append((container, key, start))
                    container = Map(place) if kind is yaml.MappingStartEvent else Seq(place)
                    start = event
                    key = None
                    if event.anchor is not None:
                        self.anchors[event.anchor] = _OPEN
                    continue
                started = event
            # a value is complete: put it where it belongs
            if container is None:
                return value
            if type(container) is Seq:
                mark = started.start_mark
                container.append(value)
                container.places.append((self.file, mark.line + 1, mark.column + 1))
            elif key is None:
                key = self.key(value, started, container, stack)
            else:
                container[key[0]] = value
                container.places[key[0]] = key[1]
                key = None

    def key(self, value: Any, event: Any, container: Map, stack: Any) -> tuple[str, Place]:
        """Check a mapping key."""
        mark = event.start_mark
        place = (self.file, mark.line + 1, mark.column + 1)
        if type(value) is not str:
            text = getattr(event, "value", None)
            shown = text if isinstance(text, str) else "a mapping or list"
            hint = f'put it in quotes: "{shown}"' if isinstance(text, str) else ""
            raise SpecError(
                f"non-string key: {shown}", where=Location(*place), path=_stack_path(stack), hint=hint
            )
        if value in container:
            first = container.places[value]
            raise SpecError(
                f"mapping key {value!r} is already defined at line {first[1]}",
                where=Location(*place),
                path=_stack_path(stack),
                hint="remove one of the two",
            )
        return value, place

    def finish(self, value: Any, event: Any) -> Any:
        """Apply a container's tag and remember its anchor."""
        if event.tag in ("!reset", "!override"):
            self.tagged = True
            value = Tagged(value, keep=event.tag == "!override")
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def tagged_scalar(self, event: Any) -> Any:
        """A scalar with an explicit tag."""
        tag = event.tag
        if tag in ("!reset", "!override"):
            self.tagged = True
            value = resolve(event.value) if event.style is None else event.value
            return Tagged(value, keep=tag == "!override")
        if tag in _SCALAR_TAGS:
            value = resolve(event.value)
            name = tag.rpartition(":")[2]
            kinds: Any = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}[name]
            if not isinstance(value, kinds) or (name != "bool" and isinstance(value, bool)):
                mark = event.start_mark
                raise SpecError(
                    f"cannot read {event.value!r} as {name}",
                    where=Location(self.file, mark.line + 1, mark.column + 1),
                )
            return float(value) if name == "float" else value
        return event.value

    def alias(self, event: Any, place: Place) -> Any:
        """A copy of what an alias stands for."""
        name = event.anchor
        if name not in self.anchors:
            raise SpecError(
                f"unknown anchor {name!r}", where=Location(*place), hint=f"define it with &{name} above"
            )
        value = self.anchors[name]
        if value is _OPEN:
            raise SpecError(f"anchor {name!r} contains itself", where=Location(*place))
        if isinstance(value, (Map, Seq, Tagged)):
            self.count(place, _size(value, MAX_NODES - self.nodes))
            return copy_tree(value)
        return value

    def merge_keys(self, container: Map) -> Map:
        """Resolve `<<`: what the mapping says itself wins, then the first of the merged ones."""
        place = container.places["<<"]
        source = container.pop("<<")
        del container.places["<<"]
        for merged in source if isinstance(source, Seq) else (source,):
            mapping = merged.value if isinstance(merged, Tagged) and merged.keep else merged
            if not isinstance(mapping, Map):
                raise SpecError(
                    "<< needs a mapping, an alias of one, or a list of them",
                    where=Location(*place),
                    hint="point << at a mapping, such as <<: *defaults",
                )
            for name, value in mapping.items():
                if name not in container:
                    container.put(name, value, mapping.places.get(name))
        return container


_OPEN: Final = object()


def _stack_path(stack: list[tuple[Any, Any, Any]]) -> str:
    path: list[str | int] = []
    for container, key, _ in stack:
        if isinstance(container, Seq):
            path.append(len(container))
        elif key is not None:
            path.append(key[0])
    return path_text(tuple(path))


def _size(value: Any, limit: int) -> int:
    """The number of nodes in *value*; counting stops a little above *limit*."""
    total = 0
    stack = [value]
    while stack and total <= limit:
        item = stack.pop()
        total += 1
        if isinstance(item, Tagged):
            stack.append(item.value)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return total


def _strip(value: Any, path: Path, resets: list[Path]) -> Any:
    """Take tags out of the tree and collect their paths; what is reset itself disappears."""
    if isinstance(value, Tagged):
        resets.append(path)
        return _strip(value.value, path, resets) if value.keep else None
    if isinstance(value, Map):
        for key, item in list(value.items()):
            if isinstance(item, (dict, list, Tagged)):
                value[key] = _strip(item, (*path, key), resets)
                if isinstance(item, Tagged) and not item.keep:
                    del value[key], value.places[key]
    elif isinstance(value, Seq):
        kept = Seq(value.place)
        for index, (item, place) in enumerate(zip(value, value.places, strict=True)):
            stripped = _strip(item, (*path, index), resets)
            if not (isinstance(item, Tagged) and not item.keep):
                kept.add(stripped, place)
        return kept
    return value
