"""Tables of what happens at which YAML path, and the walk that applies them.

A table maps patterns such as `services.*.build.args` to an action; `*` stands for any key and for any item
of a list. A walk follows only the branches that have an action below them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from composer.spec.tree import Path

Action: TypeAlias = "Callable[[Any, Path], Any]"


class Rule:
    """One step of a table: an action for this path, and the steps below."""

    __slots__ = ("action", "children")

    def __init__(self) -> None:
        self.action: Any = None
        self.children: dict[str, Rule] = {}

    def below(self, key: str) -> Rule | None:
        """The step for *key*."""
        return self.children.get(key) or self.children.get("*")


def table(patterns: Mapping[str, Any]) -> Rule:
    """Compile patterns into steps."""
    root = Rule()
    for pattern, action in patterns.items():
        rule = root
        for part in pattern.split("."):
            rule = rule.children.setdefault(part, Rule())
        rule.action = action
    return root


def apply(value: Any, rule: Rule, path: Path = ()) -> Any:
    """Replace *value* and what is below it by what the actions return, parents first."""
    if rule.action is not None:
        value = rule.action(value, path)
    children = rule.children
    if not children:
        return value
    if isinstance(value, dict):
        if "*" not in children:
            for key, below in children.items():
                if key in value:
                    value[key] = apply(value[key], below, (*path, key))
        else:
            for key in value:
                if (step := rule.below(key)) is not None:
                    value[key] = apply(value[key], step, (*path, key))
    elif isinstance(value, list) and (item := children.get("*")) is not None:
        for index, entry in enumerate(value):
            value[index] = apply(entry, item, (*path, index))
    return value
