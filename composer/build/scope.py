"""Which variables an instruction sees: global ARGs, a stage's ARGs, ENV, and what nobody has to declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.build.dockerfile.words import Expansion, expand
from composer.frozen import frozen
from composer.images import platforms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from composer.build.dockerfile.instructions import Arg

PROXY_ARGUMENTS = frozenset(
    name
    for low in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (low, low.upper())
)
"""Known to RUN without ARG; never in the image nor in a cache key."""

ACCEPTED_ARGUMENTS = frozenset(
    {
        "SOURCE_DATE_EPOCH",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_SYNTAX",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_CACHE_MOUNT_NS",
        "BUILDKIT_SANDBOX_HOSTNAME",
    }
)
"""Build arguments that need no ARG and are no mistake."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_platform() -> str:
    """This machine as `linux/arch[/variant]`."""
    return str(platforms.host_platform())


def platform_arguments(target: str, build: str, stage: str = "") -> dict[str, str]:
    """`TARGETPLATFORM` and its relatives, which ARG brings into a stage."""
    result: dict[str, str] = {"TARGETSTAGE": stage or "default"}
    for prefix, value in (("TARGET", target), ("BUILD", build)):
        system, architecture, variant = ([*value.split("/"), "", ""])[:3]
        result |= {
            f"{prefix}PLATFORM": value,
            f"{prefix}OS": system,
            f"{prefix}ARCH": architecture,
            f"{prefix}VARIANT": variant,
            f"{prefix}OSVERSION": "",
        }
    return result


@frozen
class GlobalArguments:
    """ARGs before the first FROM, evaluated.

    Attributes:
        values: What FROM lines see: predefined and declared names that have a value.
        declared: Declared names, None for one without any value.
        given: The caller's build arguments.
    """

    values: Mapping[str, str]
    declared: Mapping[str, str | None]
    given: Mapping[str, str]


def evaluate_globals(
    arguments: Iterable[Arg], predefined: Mapping[str, str], given: Mapping[str, str]
) -> GlobalArguments:
    """Evaluate ARGs before the first FROM; build arguments win over defaults.

    Raises:
        WordError: A default cannot be expanded.
    """
    values = {name: given.get(name, value) for name, value in predefined.items()}
    declared: dict[str, str | None] = {}
    for instruction in arguments:
        for name, default in instruction.items:
            value = given.get(name)
            if value is None and default is not None:
                value = expand(default, values, escape=instruction.node.escape).text
            if value is None:
                value = values.get(name)
            declared[name] = value
            if value is not None:
                values[name] = value
    return GlobalArguments(values, declared, given)


class Scope:
    """The variables of one stage as its instructions go by.

    An ENV wins over an ARG of the same name wherever it stands, as the manual says.

    Args:
        env: Environment of the base image, in order.
        globals_: See `GlobalArguments`.
        inherited: ARGs of the stage that this one builds on.
        escape: The file's escape character.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        globals_: GlobalArguments,
        inherited: Mapping[str, str | None] | None = None,
        escape: str = "\\",
    ) -> None:
        self.env = dict(env)
        self.args: dict[str, str | None] = dict(inherited or {})
        self._globals = globals_
        self._escape = escape

    @property
    def variables(self) -> dict[str, str]:
        """What an expansion sees."""
        known = {name: value for name, value in self.args.items() if value is not None}
        return known | self.env

    def expand(self, text: str, *, quotes: bool = True) -> Expansion:
        """Expand *text*.

        Raises:
            WordError: Quotes or substitutions are wrong.
        """
        return expand(text, self.variables, escape=self._escape, quotes=quotes)

    def text(self, text: str) -> str:
        """The expanded text alone."""
        return self.expand(text).text

    def declare(self, name: str, default: str | None) -> None:
        """ARG: *default* is expanded already; without any value the name keeps the one it has."""
        value = self._globals.given.get(name)
        if value is None:
            value = default
        if value is None:
            value = self._globals.declared.get(name, self._globals.values.get(name))
        if value is None:
            value = self.args.get(name)
        self.args[name] = value

    def is_known(self, name: str) -> bool:
        """Whether ENV or ARG named it, with a value or without."""
        return name in self.env or name in self.args

    def set_env(self, pairs: Iterable[tuple[str, str]]) -> None:
        """ENV: names and values are expanded already."""
        for name, value in pairs:
            self.env[name] = value

    def run_environment(self) -> dict[str, str]:
        """What RUN gets: ENV and the ARGs that have values, without proxies."""
        return self.variables

    def proxies(self) -> dict[str, str]:
        """Proxy build arguments that no ARG made ordinary."""
        given = self._globals.given
        return {
            name: given[name]
            for name in sorted(PROXY_ARGUMENTS)
            if name in given and name not in self.args and name not in self.env
        }
