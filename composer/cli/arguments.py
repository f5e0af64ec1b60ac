"""Options that several commands share, and their way into the words of `composer.controller.options`.

Options cross the agent's socket as JSON, so they are plain dictionaries here; what equals the default is left
out, as `composer.values.to_json` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from composer.cli.context import Context

_TRUE = ("1", "true", "yes", "y", "t", "on")


def add_services(parser: argparse.ArgumentParser, text: str = "only these services") -> None:
    """`[SERVICE...]`."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help=text)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """`-t`, seconds until a container that does not stop is killed."""
    parser.add_argument(
        "-t",
        "--timeout",
        type=seconds,
        default=None,
        metavar="SECONDS",
        help="kill after so many seconds, instead of each service's stop_grace_period",
    )


def add_wait_timeout(parser: argparse.ArgumentParser) -> None:
    """`--wait-timeout`."""
    parser.add_argument(
        "--wait-timeout", type=seconds, default=None, metavar="SECONDS", help="wait at most so long"
    )


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """`--build`, `--no-build`, `--pull`, `--quiet-pull`."""
    parser.add_argument("--build", action="store_true", help="build images first")
    parser.add_argument("--no-build", action="store_true", help="build nothing")
    add_pull_options(parser)


def add_pull_options(parser: argparse.ArgumentParser) -> None:
    """`--pull`, `--quiet-pull`, `--quiet-build`."""
    parser.add_argument(
        "--pull",
        choices=["always", "missing", "never", "policy", "build"],
        default="policy",
        help="when to pull images",
    )
    parser.add_argument("--quiet-pull", action="store_true", help="do not show the progress of pulls")
    parser.add_argument("--quiet-build", action="store_true", help="do not show the steps of builds")


def add_create_options(parser: argparse.ArgumentParser) -> None:
    """What `up` and `create` share."""
    add_image_options(parser)
    parser.add_argument("--force-recreate", action="store_true", help="recreate also what is up to date")
    parser.add_argument("--no-recreate", action="store_true", help="leave containers as they are")
    parser.add_argument("--remove-orphans", action="store_true", help="remove containers of unknown services")
    parser.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="SERVICE=N",
        help="number of containers, instead of the file's",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="answer yes to every question")


def seconds(text: str) -> float:
    """A time-out in seconds; -1 means without limit.

    Raises:
        ValueError: Not a number, or negative other than -1.
    """
    value = float(text)
    if value < 0 and value != -1:
        raise ValueError(text)
    return value


def scales(words: Sequence[str]) -> dict[str, int]:
    """`web=3` as a number by service.

    Raises:
        UsageError: A word is not of this form.
    """
    result = {}
    for word in words:
        service, equals, number = word.partition("=")
        if not service or not equals or not number.isdigit():
            raise UsageError(f"{word!r} is not SERVICE=NUMBER", hint="web=3 runs three containers of web")
        result[service] = int(number)
    return result


def exclusive(args: argparse.Namespace, *names: str) -> None:
    """See that at most one of the options is given; names are those of attributes.

    Raises:
        UsageError: Two of them are.
    """
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other")


def limit(value: float | None) -> float | None:
    """What `--wait-timeout` asked for; -1 means without limit."""
    return None if value is None or value < 0 else value


def build_options(args: argparse.Namespace) -> dict[str, Any]:
    """`build`, `pull`, `quiet_pull` and `quiet_build` of the options.

    Raises:
        UsageError: Options exclude each other.
    """
    build = getattr(args, "build", False)
    if build and getattr(args, "no_build", False):
        raise UsageError("--build and --no-build exclude each other")
    pull = args.pull
    if pull == "build":
        build = True
    policy = "always" if build else "never" if getattr(args, "no_build", False) else "missing"
    return {
        "build": policy,
        "pull": pull if pull in ("always", "missing", "never") else "",
        "quiet_pull": args.quiet_pull,
        "quiet_build": args.quiet_build,
    }


def create_options(args: argparse.Namespace, context: Context) -> dict[str, Any]:
    """`UpOptions` for `up` and `create`.

    Raises:
        UsageError: Options exclude each other.
    """
    exclusive(args, "force_recreate", "no_recreate")
    if args.no_recreate and (getattr(args, "renew_anon_volumes", False) or _always(args)):
        other = (
            "--renew-anon-volumes" if getattr(args, "renew_anon_volumes", False) else "--always-recreate-deps"
        )
        raise UsageError(f"{other} and --no-recreate exclude each other")
    remove, ignore = orphans(args, context)
    renew = getattr(args, "renew_anon_volumes", False)
    return {
        "services": list(args.services),
        **build_options(args),
        "recreate": "force" if args.force_recreate or renew else "never" if args.no_recreate else "diverged",
        "recreate_dependencies": "force" if _always(args) else "never" if args.no_recreate else "diverged",
        "renew_volumes": renew,
        "no_deps": getattr(args, "no_deps", False),
        "remove_orphans": remove,
        "ignore_orphans": ignore,
        "scale": scales(args.scale),
        "timeout": getattr(args, "timeout", None),
        "recreate_resources": args.yes,
        "parallel": parallel(context),
    }


def orphans(args: argparse.Namespace, context: Context) -> tuple[bool, bool]:
    """Whether to remove orphans and whether to be silent about them, by option and environment.

    Raises:
        UsageError: Both at once.
    """
    ignore = truthy(context, "COMPOSE_IGNORE_ORPHANS")
    remove = args.remove_orphans or truthy(context, "COMPOSE_REMOVE_ORPHANS")
    if ignore and remove:
        raise UsageError("orphans cannot be removed and ignored at once", hint="unset COMPOSE_IGNORE_ORPHANS")
    return remove, ignore


def truthy(context: Context, name: str) -> bool:
    """Whether an environment variable is on."""
    return context.environ.get(name, "").lower() in _TRUE


def parallel(context: Context) -> int:
    """Most operations at once, 0 without limit: `--parallel`, `COMPOSE_PARALLEL_LIMIT`.

    Raises:
        UsageError: The variable is not a number.
    """
    most = context.options.parallel
    text = context.environ.get("COMPOSE_PARALLEL_LIMIT", "")
    if most == -1 and text:
        try:
            most = int(text)
        except ValueError:
            raise UsageError(f"COMPOSE_PARALLEL_LIMIT is {text!r}, not a number") from None
    return max(most, 0)


def _always(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "always_recreate_deps", False))
