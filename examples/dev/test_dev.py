"""The service as its users see it; `pytest examples/dev` starts a project for it and takes it down."""

from __future__ import annotations

import urllib.request
from pathlib import Path

COMPOSE = Path(__file__).with_name("compose.yaml")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_the_greeting_is_configured(composer_project):
    project = composer_project(COMPOSE, environment={"DEV_PORT": "0", "GREETING": "good morning"})
    page = get(project.url("web", 80) + "/cgi-bin/hello")
    assert page == "good morning from a config\nthe token is there\n"
