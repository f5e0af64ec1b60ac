"""When a wait is over, and how it ends."""

from __future__ import annotations

import pytest

from composer.controller.gates import Verdict, verdict
from composer.engine import ContainerConfig, ContainerState, Healthcheck, Process

HEALTHY, COMPLETED, RUNNING = "service_healthy", "service_completed_successfully", "running_or_healthy"


def state(status="running", *, health="none", probe=False, **more):
    check = Healthcheck(("CMD", "x")) if probe or health != "none" else None
    config = ContainerConfig("i", "p-db-1", Process(("x",)), healthcheck=check)
    return ContainerState("i", "p-db-1", status, config, health=health, **more)


def decide(condition, *states, dependency=True):
    names = [f"p-db-{number}" for number in range(1, len(states) + 1)]
    return verdict(condition, "db", names, states, dependency=dependency)


@pytest.mark.parametrize(
    ("condition", "now"),
    [
        (HEALTHY, state(health="starting")),
        (HEALTHY, state("created", probe=True)),
        (HEALTHY, state("restarting", health="starting")),
        (HEALTHY, state("restarting", health="unhealthy")),
        (COMPLETED, state()),
        (COMPLETED, state("restarting", exit_code=1)),
        (COMPLETED, state("created")),
        (RUNNING, state(health="starting")),
        (RUNNING, state("restarting")),
    ],
)
def test_undecided(condition, now):
    assert decide(condition, now) is None


@pytest.mark.parametrize(
    ("condition", "now"),
    [
        (HEALTHY, state(health="healthy")),
        (HEALTHY, state("paused", health="healthy")),
        (COMPLETED, state("exited")),
        (RUNNING, state()),
        (RUNNING, state(health="healthy")),
    ],
)
def test_true(condition, now):
    assert decide(condition, now) == Verdict()


@pytest.mark.parametrize(
    ("condition", "now", "why"),
    [
        (HEALTHY, state(health="unhealthy"), "dependency failed to start: container p-db-1 is unhealthy"),
        (
            HEALTHY,
            state("exited", probe=True, exit_code=3),
            "dependency failed to start: container p-db-1 exited (3)",
        ),
        (HEALTHY, state(), "dependency failed to start: container p-db-1 has no healthcheck configured"),
        (HEALTHY, None, "dependency failed to start: container p-db-1 was removed"),
        (COMPLETED, state("exited", exit_code=2), 'service "db" didn\'t complete successfully: exit 2'),
        (
            COMPLETED,
            state("exited", exit_code=137, oom_killed=True),
            'service "db" didn\'t complete successfully: killed for lack of memory',
        ),
        (
            RUNNING,
            state("exited", exit_code=137, oom_killed=True),
            "dependency failed to start: container p-db-1 was killed for lack of memory",
        ),
    ],
)
def test_false(condition, now, why):
    result = decide(condition, now)
    assert result is not None
    assert result.failure == why


def test_the_last_output_of_the_probe_is_kept():
    result = decide(HEALTHY, state(health="unhealthy", health_log="connection refused"))
    assert result is not None
    assert result.output == "connection refused"


def test_all_must_be_so():
    assert decide(HEALTHY, state(health="healthy"), state(health="starting")) is None


def test_one_failure_decides():
    result = decide(HEALTHY, state(health="starting"), state(health="unhealthy"))
    assert result is not None
    assert result.container == "p-db-2"


def test_without_a_dependency_the_words_are_shorter():
    result = decide(RUNNING, state("exited", exit_code=1), dependency=False)
    assert result is not None
    assert result.failure == "container p-db-1 exited (1)"
