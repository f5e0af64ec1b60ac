"""Whether containers are as somebody waits for; pure, called after each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.frozen import frozen
from composer.graph import COMPLETED, HEALTHY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.engine import ContainerState


@frozen
class Verdict:
    """The end of a wait.

    Attributes:
        failure: Why it can never come true, one sentence; empty: it is true.
        container: Name of the container that failed.
        output: The last output of its probe.
    """

    failure: str = ""
    container: str = ""
    output: str = ""


def verdict(
    condition: str,
    service: str,
    names: Sequence[str],
    states: Sequence[ContainerState | None],
    *,
    dependency: bool = True,
) -> Verdict | None:
    """None while it is undecided; a failure of one container decides at once.

    Args:
        condition: `service_healthy`, `service_completed_successfully` or `running_or_healthy`.
        service: The service, for the message.
        names: Names of its containers.
        states: Their states; None when a container is gone.
        dependency: Somebody depends on it, so that the message says so.
    """
    results = [
        _one(condition, service, name, state, dependency=dependency)
        for name, state in zip(names, states, strict=True)
    ]
    failed = next((result for result in results if result is not None and result.failure), None)
    if failed is not None:
        return failed
    return None if any(result is None for result in results) else Verdict()


def _one(
    condition: str, service: str, name: str, state: ContainerState | None, *, dependency: bool
) -> Verdict | None:
    prefix = "dependency failed to start: " if dependency else ""
    if state is None:
        return Verdict(f"{prefix}container {name} was removed", name)
    ended = state.status in ("exited", "dead")
    if condition == COMPLETED:
        if not ended:
            return None
        if state.exit_code == 0 and not state.error:
            return Verdict()
        return Verdict(_incomplete(service, state), name)
    if ended:
        why = "was killed for lack of memory" if state.oom_killed else f"exited ({state.exit_code})"
        return Verdict(f"{prefix}container {name} {why}", name, state.error or state.health_log)
    if state.config.healthcheck is None:
        if condition == HEALTHY:
            return Verdict(f"{prefix}container {name} has no healthcheck configured", name)
        return Verdict() if state.status in ("running", "paused") else None
    if state.status not in ("running", "paused"):
        return None
    if state.health == "unhealthy":
        return Verdict(f"{prefix}container {name} is unhealthy", name, state.health_log)
    return Verdict() if state.health == "healthy" else None


def _incomplete(service: str, state: ContainerState) -> str:
    if state.oom_killed:
        return f'service "{service}" didn\'t complete successfully: killed for lack of memory'
    return f'service "{service}" didn\'t complete successfully: exit {state.exit_code}'
