"""What is pulled and what is built before containers are made."""

from __future__ import annotations

import pytest

from composer.controller.image_source import plan_images
from tests.unit.controller.conftest import IMAGE, make_project

BUILD = {"context": "/w"}


def keys(project, services, present=None, **options) -> list[str]:
    found = {"img": None, "made": None, **(present or {})}
    return [operation.key for operation in plan_images(project, services, found, **options).operations]


@pytest.mark.parametrize("order", [["user", "maker"], ["maker", "user"]])
def test_an_image_that_a_sister_builds_is_not_pulled_for_a_service_that_names_it(order: list[str]) -> None:
    project = make_project({"maker": {"image": "made", "build": BUILD}, "user": {"image": "made"}})
    assert keys(project, order, build="always") == ["build made"]


def test_it_is_built_even_if_the_builder_is_not_to_run() -> None:
    project = make_project({"maker": {"image": "made", "build": BUILD}, "user": {"image": "made"}})
    assert keys(project, ["user"]) == ["build made"]
    assert keys(project, ["user"], {"made": IMAGE}) == []


def test_other_images_are_pulled_when_they_are_missing() -> None:
    project = make_project({"maker": {"image": "made", "build": BUILD}, "user": {"image": "img"}})
    assert keys(project, ["user"]) == ["pull img"]
