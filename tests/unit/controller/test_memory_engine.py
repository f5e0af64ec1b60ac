"""The engine in memory keeps the contract."""

from __future__ import annotations

import anyio

from tests.support.engine_contract import Contract
from tests.unit.controller.memory_engine import MemoryEngine


class TestMemoryEngine(Contract):
    def run(self, case):
        async def main():
            async with MemoryEngine().running() as engine:
                await case(engine, (), "project")

        anyio.run(main)
