"""A project of its own for each test."""

from __future__ import annotations

import pytest

from tests.support.scratch import Project


@pytest.fixture
def project(composer_home, busybox_image, tmp_path):
    return Project(composer_home, tmp_path)
