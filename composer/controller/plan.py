"""A plan: operations as values, each with its reason and with the operations it waits for.

The reconciler makes plans, the executor carries them out, `composer plan` and `--dry-run` show them, tests
compare them. An operation refers to a container that exists by its id, and to one that will be made by the
`key` of the `CreateContainer` that makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from composer.frozen import frozen
from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Sign: TypeAlias = Literal["+", "-", "~", ">", "."]
"""`+` makes, `-` removes, `~` replaces, `>` changes what runs, `.` only waits."""


@frozen(kw_only=True)
class Operation:
    """One step.

    Attributes:
        key: Unique in its plan, and stable: `create shop-web-1`.
        name: The object, as users know it.
        after: Keys of the operations that must have ended well before.
        reason: Why it is there.
        service: The service it belongs to, or empty.
    """

    verb: ClassVar[str] = ""
    sign: ClassVar[Sign] = ">"
    kind: ClassVar[str] = "container"

    key: str
    name: str
    after: tuple[str, ...] = ()
    reason: str = ""
    service: str = ""

    def describe(self) -> str:
        """A few words: `create container shop-web-1`."""
        return f"{self.verb} {self.kind} {self.name}"


@frozen(kw_only=True)
class PullImage(Operation):
    """Download an image; `optional`: a failure is made good by building."""

    verb = "pull"
    sign = "+"
    kind = "image"
    optional: bool = False


@frozen(kw_only=True)
class BuildImage(Operation):
    """Build a service's image."""

    verb = "build"
    sign = "+"
    kind = "image"


@frozen(kw_only=True)
class CreateNetwork(Operation):
    """Make a network; `network` is its key in the file, `id` is kept when it is made anew."""

    verb = "create"
    sign = "+"
    kind = "network"
    network: str
    id: str = ""


@frozen(kw_only=True)
class RemoveNetwork(Operation):
    """Remove a network; one that is in use is left with a warning."""

    verb = "remove"
    sign = "-"
    kind = "network"
    id: str


@frozen(kw_only=True)
class CreateVolume(Operation):
    """Make a volume; `volume` is its key in the file."""

    verb = "create"
    sign = "+"
    kind = "volume"
    volume: str


@frozen(kw_only=True)
class RemoveVolume(Operation):
    """Remove a volume with all it holds; one that is in use is left with a warning."""

    verb = "remove"
    sign = "-"
    kind = "volume"


@frozen(kw_only=True)
class RemoveImage(Operation):
    """Remove an image; one that is in use is left with a warning."""

    verb = "remove"
    sign = "-"
    kind = "image"


@frozen(kw_only=True)
class CreateContainer(Operation):
    """Make a container.

    Attributes:
        number: Its replica number.
        replaces: Id of the container it takes the place of, or empty.
        temporary_name: The name it is made under while the old one still has its own.
        inherit_volumes: Take over the anonymous volumes of `replaces`.
    """

    verb = "create"
    sign = "+"
    number: int = 1
    replaces: str = ""
    temporary_name: str = ""
    inherit_volumes: bool = True


@frozen(kw_only=True)
class StartContainer(Operation):
    """Start a container, then run its post_start hooks."""

    verb = "start"
    container: str


@frozen(kw_only=True)
class StopContainer(Operation):
    """Stop a container; `hooks`: run its pre_stop hooks first; `timeout` None: its own grace period."""

    verb = "stop"
    container: str
    timeout: float | None = None
    hooks: bool = False


@frozen(kw_only=True)
class KillContainer(Operation):
    """Send a signal."""

    verb = "kill"
    container: str
    signal: str = "SIGKILL"


@frozen(kw_only=True)
class PauseContainer(Operation):
    """Freeze a container."""

    verb = "pause"
    container: str


@frozen(kw_only=True)
class UnpauseContainer(Operation):
    """Thaw a container."""

    verb = "unpause"
    container: str


@frozen(kw_only=True)
class RemoveContainer(Operation):
    """Remove a container; `volumes` takes its anonymous volumes too, `force` kills it first."""

    verb = "remove"
    sign = "-"
    container: str
    volumes: bool = False
    force: bool = False


@frozen(kw_only=True)
class RenameContainer(Operation):
    """Give a container the name in `name`."""

    verb = "rename"
    container: str


@frozen(kw_only=True)
class ConnectNetwork(Operation):
    """Join a container to a network of the file that was made anew."""

    verb = "connect"
    container: str
    network: str


@frozen(kw_only=True)
class DisconnectNetwork(Operation):
    """Take a container off a network that is about to be removed."""

    verb = "disconnect"
    container: str
    id: str


@frozen(kw_only=True)
class RunHook(Operation):
    """Run a service's pre_start hook number `index` in a container of its own."""

    verb = "run"
    sign = ">"
    index: int


@frozen(kw_only=True)
class WaitFor(Operation):
    """Wait until containers of `name` (a service) are as `condition` says.

    Attributes:
        condition: As in `depends_on`, or `running_or_healthy` for `--wait`.
        containers: Ids and keys, all of which must be so.
        required: When false a failure is a warning.
        dependency: Somebody depends on it; false for `--wait`.
    """

    verb = "wait for"
    sign = "."
    kind = "service"
    condition: str
    containers: tuple[str, ...]
    required: bool = True
    dependency: bool = True

    def describe(self) -> str:
        """`wait for service db to be healthy`."""
        words = {
            "service_healthy": "to be healthy",
            "service_completed_successfully": "to complete",
            "running_or_healthy": "to run or be healthy",
        }
        return f"wait for service {self.name} {words.get(self.condition, self.condition)}"


@frozen
class Plan:
    """Operations in an order in which they could be carried out one by one.

    Attributes:
        project: Project name.
        operations: What to do.
        unchanged: (service, container name) of running containers that are as they should be.
        warnings: Sentences for the user.
    """

    project: str
    operations: tuple[Operation, ...] = ()
    unchanged: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Operation, ...]:
        """The operations that change something: all but waiting."""
        return tuple(operation for operation in self.operations if operation.sign != ".")

    @property
    def exit_code(self) -> int:
        """0 when there is nothing to do, 2 when there is, as `plan --detailed-exitcode` of other tools."""
        return 2 if self.changes else 0

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, for `plan --format json`; stable keys, made for machines."""
        return {
            "project": self.project,
            "operations": [
                {
                    "operation": type(operation).__name__,
                    "summary": operation.describe(),
                    **to_json(operation),
                    "after": list(operation.after),
                    "reason": operation.reason,
                }
                for operation in self.operations
            ],
            "unchanged": [{"service": service, "container": name} for service, name in self.unchanged],
            "warnings": list(self.warnings),
            "changes": bool(self.changes),
        }

    def describe(self) -> str:
        """The plan for people: one line per object, with the reason."""
        return "\n".join(_lines(self)) + "\n"


def then(plans: Iterable[Plan], project: str) -> Plan:
    """One plan out of several that do not refer to each other."""
    merged = list(plans)
    return Plan(
        project,
        tuple(operation for plan in merged for operation in plan.operations),
        tuple(entry for plan in merged for entry in plan.unchanged),
        tuple(warning for plan in merged for warning in plan.warnings),
    )


def _lines(plan: Plan) -> list[str]:
    """Folds the five operations of a recreation into one line, and a start into its creation."""
    made = {item.key: item for item in plan if isinstance(item, CreateContainer)}
    replaced = {item.replaces for item in made.values() if item.replaces}
    rows: list[tuple[str, str, str]] = []
    counts = {"+": 0, "~": 0, "-": 0, ">": 0}
    for operation in plan.changes:
        sign, words = str(operation.sign), operation.describe()
        container = getattr(operation, "container", "")
        match operation:
            case CreateContainer(replaces=old) if old:
                sign, words = "~", f"recreate container {operation.name}"
            case StartContainer() | RenameContainer() if container in made:
                continue
            case StopContainer() | RemoveContainer() | ConnectNetwork() if container in replaced:
                continue
        counts[sign] += 1
        rows.append((sign, words, operation.reason))
    width = max((len(words) for _, words, _ in rows), default=0)
    lines = [f"{sign} {words:<{width}}  {reason}".rstrip() for sign, words, reason in rows]
    lines += [f"! {warning}" for warning in plan.warnings]
    if not rows:
        running = len(plan.unchanged)
        return [*lines, f"{plan.project}: nothing to do, {running} container{'s' * (running != 1)} as wanted"]
    names = {"+": "to create", "~": "to recreate", "-": "to remove", ">": "to change"}
    summary = ", ".join(f"{count} {names[sign]}" for sign, count in counts.items() if count)
    return [*lines, f"{plan.project}: {summary}"]
