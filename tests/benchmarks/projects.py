"""Compose files for the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# A process that ends at once on SIGTERM, as well-behaved services do.
COMMAND = "[sh, -c, \"trap 'exit 0' TERM; sleep 1d & wait\"]"


def services(directory: Path, count: int) -> Path:
    """*count* services that have nothing to do with each other."""
    lines = ["services:"]
    for number in range(count):
        lines += [f"  s{number}:", "    image: busybox:latest", f"    command: {COMMAND}"]
    return _write(directory, f"flat-{count}", lines)


def chain(directory: Path, count: int) -> Path:
    """Each service waits until the one before is healthy; interval 1 s, as in design.md section 8."""
    lines = ["services:"]
    for number in range(count):
        lines += [
            f"  s{number}:",
            "    image: busybox:latest",
            f"    command: {COMMAND}",
            "    healthcheck: {test: [CMD, 'true'], interval: 1s, timeout: 1s}",
        ]
        if number:
            lines.append(f"    depends_on: {{s{number - 1}: {{condition: service_healthy}}}}")
    return _write(directory, f"chain-{count}", lines)


def large(directory: Path, count: int = 300) -> Path:
    """*count* services with the attributes that real files have, for the loader."""
    lines = ["x-common: &common", "  restart: unless-stopped", "  logging: {driver: json-file}", "services:"]
    for number in range(count):
        lines += [
            f"  s{number}:",
            "    <<: *common",
            f"    image: registry.example.com/team/app{number}:${{TAG:-1.{number}}}",
            "    command: [serve, --port, '8080']",
            f"    ports: ['{10000 + number}:8080']",
            "    environment: {LEVEL: '${LEVEL:-info}', DATABASE: postgres://db/app, WORKERS: 4}",
            f"    volumes: ['data{number}:/data', './config:/etc/app:ro']",
            "    networks: [front, back]",
            "    healthcheck: {test: [CMD, check], interval: 10s, timeout: 2s, retries: 3}",
            "    deploy: {resources: {limits: {cpus: '0.5', memory: 128M}}}",
        ]
        if number:
            lines.append(f"    depends_on: [s{number - 1}]")
    lines += ["networks: {front: {}, back: {}}", "volumes:"]
    lines += [f"  data{number}:" for number in range(count)]
    return _write(directory, f"large-{count}", lines)


def _write(directory: Path, name: str, lines: list[str]) -> Path:
    project = directory / name
    project.mkdir(parents=True, exist_ok=True)
    (project / "compose.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return project
