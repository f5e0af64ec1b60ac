from __future__ import annotations

from composer.cli.commands.stats import memory_limit, row, some_pressure
from composer.cli.snapshot import Container


def test_a_row_is_the_difference_of_two_readings() -> None:
    container = Container("ab" * 32, {"name": "shop-web-1"}, {})
    before = {"time": 10.0, "cpu_total": 1_000_000_000}
    now = {
        "time": 12.0,
        "cpu_total": 2_000_000_000,
        "memory": 512 << 20,
        "memory_limit": 1 << 30,
        "pids": 3,
        "received": 1500,
        "sent": 20,
        "block_read": 0,
        "block_write": 4096,
        "pressure": {"cpu.some.avg10": 1.5, "io.some.avg10": 0.25},
    }
    made = row(container, before, now)
    assert made["CPUPerc"] == "50.00%"
    assert (made["MemUsage"], made["MemPerc"]) == ("512MiB / 1GiB", "50.00%")
    assert (made["NetIO"], made["BlockIO"], made["PIDs"]) == ("1.5kB / 20B", "0B / 4.1kB", "3")
    assert made["PressureSome"] == "1.50 / 0.00 / 0.25"
    assert made["ID"] == "ab" * 6


def test_what_does_not_run_uses_nothing() -> None:
    made = row(Container("ab" * 32, {"name": "x"}, {}), {}, {})
    assert (made["CPUPerc"], made["PIDs"], made["PressureSome"]) == ("0.00%", "0", "-")


def test_no_limit_is_the_machines_memory() -> None:
    assert memory_limit(0) == memory_limit(1 << 62) > 0
    assert some_pressure({}) == "-"
