"""Variables in a whole tree, and the types that a text gets by where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.spec.rules import apply, table
from composer.spec.template import TemplateError, substitute
from composer.spec.tree import Path, spec_error

if TYPE_CHECKING:
    from composer.errors import SpecError
    from composer.spec.template import Lookup
    from composer.spec.warn import Warnings


def interpolate(tree: Any, lookup: Lookup, warnings: Warnings) -> None:
    """Replace variables in every string of *tree*, then give typed attributes their type.

    Raises:
        SpecError: A malformed or required variable, or a value that is not of the attribute's type.
    """
    _Walk(tree, lookup, warnings).run()
    cast(tree, warnings)


class _Walk:
    """One pass over a tree."""

    def __init__(self, tree: Any, lookup: Lookup, warnings: Warnings) -> None:
        self.tree = tree
        self.lookup = lookup
        self.warnings = warnings

    def run(self) -> None:
        self.visit(self.tree, ())

    def visit(self, value: Any, path: Path) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        changed: list[tuple[Any, str]] = []
        for key, item in items:
            if isinstance(item, str):
                if "$" in item:
                    changed.append((key, self.text(item, (*path, key))))
            elif isinstance(item, (dict, list)):
                self.visit(item, (*path, key))
        for key, text in changed:
            value[key] = text

    def text(self, template: str, path: Path) -> str:
        try:
            return substitute(template, self.lookup, self.warnings.unset)
        except TemplateError as error:
            raise template_error(error, self.tree, path) from None


def template_error(error: TemplateError, tree: Any, path: Path) -> SpecError:
    """The error of a template at *path*."""
    if error.required:
        said = f"error while interpolating {_shown(path)}: {error}"
        own_words = not said.endswith("is missing a value")
        return spec_error(said, tree, path, hint="" if own_words else "set it, or put it into .env")
    return spec_error(
        f"invalid interpolation format for {_shown(path)}.\n"
        f"You may need to escape any $ with another $.\n{error}",
        tree,
        path,
    )


def _shown(path: Path) -> str:
    return ".".join("[]" if isinstance(part, int) else part for part in path)


def cast(tree: Any, warnings: Warnings) -> None:
    """Give texts at typed attributes their type."""

    def at(kind: Any, name: str) -> Any:
        def action(value: Any, path: Path) -> Any:
            if not isinstance(value, str):
                return value
            try:
                return kind(value)
            except ValueError:
                raise spec_error(f"{value!r} is not {name}", tree, path) from None

        return action

    whole = at(to_integer, "an integer")
    number = at(float, "a number")

    def boolean(value: Any, path: Path) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return to_boolean(value, warnings)
        except ValueError as error:
            raise spec_error(str(error), tree, path, hint="write true or false") from None

    global _TABLE  # noqa: PLW0603 - compiled once, with the present actions behind it
    if _TABLE is None:
        _TABLE = table(_casts())
    actions = {"int": whole, "float": number, "bool": boolean}
    apply(tree, _bind(_TABLE, actions))


_TABLE: Any = None


def _bind(rule: Any, actions: dict[str, Any]) -> Any:
    bound = type(rule)()
    bound.action = actions[rule.action] if rule.action else None
    bound.children = {key: _bind(below, actions) for key, below in rule.children.items()}
    return bound


def _casts() -> dict[str, str]:
    service = {
        "blkio_config.weight": "int",
        "blkio_config.weight_device.*.weight": "int",
        "build.no_cache": "bool",
        "build.privileged": "bool",
        "build.pull": "bool",
        "build.ulimits.*": "int",
        "build.ulimits.*.hard": "int",
        "build.ulimits.*.soft": "int",
        "cpu_count": "int",
        "cpu_percent": "float",
        "cpu_period": "int",
        "cpu_quota": "int",
        "cpu_rt_period": "int",
        "cpu_rt_runtime": "int",
        "cpu_shares": "int",
        "cpus": "float",
        "deploy.placement.max_replicas_per_node": "int",
        "deploy.replicas": "int",
        "deploy.restart_policy.max_attempts": "int",
        "deploy.rollback_config.max_failure_ratio": "float",
        "deploy.rollback_config.parallelism": "int",
        "deploy.update_config.max_failure_ratio": "float",
        "deploy.update_config.parallelism": "int",
        "healthcheck.disable": "bool",
        "healthcheck.retries": "int",
        "init": "bool",
        "mem_swappiness": "int",
        "oom_kill_disable": "bool",
        "oom_score_adj": "int",
        "pids_limit": "int",
        "ports.*.target": "int",
        "privileged": "bool",
        "read_only": "bool",
        "scale": "int",
        "stdin_open": "bool",
        "tty": "bool",
        "ulimits.*": "int",
        "ulimits.*.hard": "int",
        "ulimits.*.soft": "int",
        "volumes.*.bind.create_host_path": "bool",
        "volumes.*.read_only": "bool",
        "volumes.*.volume.nocopy": "bool",
    }
    casts = {f"services.*.{path}": kind for path, kind in service.items()}
    casts |= {f"networks.*.{name}": "bool" for name in ("external", "internal", "attachable", "enable_ipv6")}
    casts |= {f"{kind}.*.external": "bool" for kind in ("volumes", "secrets", "configs")}
    return casts


def to_integer(text: str) -> int:
    """Go's `strconv.Atoi`.

    Raises:
        ValueError: Not a decimal integer.
    """
    if not text.lstrip("+-").isascii() or not text.lstrip("+-").isdigit() or len(text) > 20:
        raise ValueError(text)
    return int(text)


def to_boolean(text: str, warnings: Warnings | None = None) -> bool:
    """A boolean text; the words of YAML 1.1 are taken with a warning.

    Raises:
        ValueError: Not a boolean.
    """
    lower = text.lower()
    if lower in ("true", "false"):
        return lower == "true"
    if lower in ("y", "yes", "on", "n", "no", "off"):
        value = lower in ("y", "yes", "on")
        if warnings is not None:
            shown = "true" if value else "false"
            warnings.add(f'"{text}" for boolean is not supported by YAML 1.2, please use `{shown}`')
        return value
    raise ValueError(f"invalid boolean: {text}")
