"""The engine of namespaces keeps the contract that the controller's tests rest on."""

from __future__ import annotations

import os
import time

import anyio
import pytest

from composer.app import open_local
from tests.support.engine_contract import Contract

pytestmark = pytest.mark.root


class TestNamespaceEngine(Contract):
    @pytest.fixture(autouse=True)
    def _home(self, composer_home, busybox_image):
        self.home, self.image = composer_home, busybox_image

    def run(self, case):
        project = f"ec{os.getpid()}x{time.monotonic_ns() % 100000}"

        async def main():
            async with open_local(self.home.paths) as local:
                image = await local.images.find(self.image)
                await case(local.engine, image.layer_dirs, project)

        anyio.run(main)
