"""A failure points at the element that caused it, or at the nearest one that the file has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from composer.controller.blame import blamed
from composer.controller.plan import (
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KillContainer,
    PullImage,
    RemoveNetwork,
)
from composer.errors import (
    CannotInvokeError,
    CommandNotFoundError,
    ComposerError,
    EngineError,
    Location,
)
from tests.unit.controller.conftest import make_project

CREATE = CreateContainer(key="create p-web-1", name="p-web-1", service="web")


def path(error, operation=CREATE, **service):
    project = make_project({"web": {"user": "u", "cap_add": ["X"], "command": ["x"], **service}})
    written = {
        f"services.web.{name}": Location("compose.yaml", 3) for name in project.services["web"].__slots__
    }
    return blamed(error, operation, replace(project, locations=written))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineError("x", about="process.user"), "services.web.user"),
        (EngineError("x", about="process.rlimits"), "services.web.ulimits"),
        (EngineError("x", about="sysctls"), "services.web.sysctls"),
        (EngineError("x", about="unheard"), "services.web"),
        (EngineError("x"), "services.web"),
        (CommandNotFoundError("x"), "services.web.command"),
        (CannotInvokeError("x", about="process.cwd"), "services.web.working_dir"),
        (ComposerError("x", path="services.web.volumes[0]"), "services.web.volumes[0]"),
    ],
)
def test_an_engine_says_what_it_is_about(error, expected):
    assert path(error) == expected


def test_the_program_is_the_first_word_of_the_entrypoint():
    assert path(CommandNotFoundError("x"), entrypoint=["e"]) == "services.web.entrypoint"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (PullImage(key="pull i", name="i", service="web"), "services.web.image"),
        (BuildImage(key="build i", name="i", service="web"), "services.web.build"),
        (CreateNetwork(key="n", name="p_n", network="n"), "networks.n"),
        (CreateVolume(key="v", name="p_v", volume="v"), "volumes.v"),
        (RemoveNetwork(key="r", name="p_n", id="1"), ""),
        (KillContainer(key="k", name="p-web-1", service="web", container="1", signal="SIGFOO"), ""),
    ],
)
def test_an_operation_says_what_it_is_for(operation, expected):
    assert path(ComposerError("x"), operation) == expected
