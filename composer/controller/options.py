"""What a user may ask of each operation: the flags of docker compose, as values.

They cross the agent's socket as JSON (`composer.values`), hence plain types only.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - from_json reads the annotations
from dataclasses import field
from typing import Literal, TypeAlias

from composer.frozen import frozen

Recreate: TypeAlias = Literal["diverged", "force", "never"]
PullPolicy: TypeAlias = Literal["", "always", "missing", "never"]
BuildPolicy: TypeAlias = Literal["missing", "always", "never"]


@frozen
class UpOptions:
    """For `up`, `create`, `scale` and `plan`.

    Attributes:
        services: Only these and what they need; empty: all.
        start: False for `create` and `up --no-start`.
        recreate: For the named services.
        recreate_dependencies: For what they need; `force` is --always-recreate-deps.
        renew_volumes: Start with fresh anonymous volumes (-V).
        no_deps: Leave dependencies alone.
        remove_orphans: Remove containers of services that are not in the file any more.
        ignore_orphans: Do not mention them either.
        scale: Number of containers by service, instead of the file's.
        timeout: Seconds to stop a container, instead of its own.
        build: When to build services that have `build`.
        pull: When to pull, instead of the service's `pull_policy`.
        recreate_resources: Volumes that changed may be removed and made anew (-y); networks always are.
        wait: Wait until everything runs or is healthy.
        wait_timeout: Seconds for `wait`, None without limit.
        parallel: Most operations at once, 0 without limit.
        quiet_pull: Do not report progress of pulls.
        quiet_build: Do not report the steps of builds.
        separator: Between the parts of container names; `_` with --compatibility.
        gate_for: A service that is not started here, but whose dependencies' conditions are waited for.
    """

    services: tuple[str, ...] = ()
    start: bool = True
    recreate: Recreate = "diverged"
    recreate_dependencies: Recreate = "diverged"
    renew_volumes: bool = False
    no_deps: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    scale: Mapping[str, int] = field(default_factory=dict)
    timeout: float | None = None
    build: BuildPolicy = "missing"
    pull: PullPolicy = ""
    recreate_resources: bool = False
    wait: bool = False
    wait_timeout: float | None = None
    parallel: int = 0
    quiet_pull: bool = False
    quiet_build: bool = False
    separator: str = "-"
    gate_for: str = ""


@frozen
class DownOptions:
    """For `down`.

    Attributes:
        services: Only these and everything that depends on them; empty: the whole project.
        volumes: Remove named volumes of the file and anonymous ones too (-v).
        images: `local` or `all` removes images (--rmi).
        remove_orphans: Also containers of services that are not in the file.
        timeout: Seconds to stop a container, instead of its own.
        parallel: Most operations at once, 0 without limit.
    """

    services: tuple[str, ...] = ()
    volumes: bool = False
    images: Literal["", "local", "all"] = ""
    remove_orphans: bool = False
    timeout: float | None = None
    parallel: int = 0


@frozen
class SelectOptions:
    """For `start`, `stop`, `restart`, `kill`, `rm`, `pause` and `unpause`.

    Attributes:
        services: Only these; empty: all.
        timeout: `stop`, `restart`: seconds to stop a container, instead of its own.
        signal: `kill`: the signal.
        no_deps: `restart`: leave dependants alone; `start`: do not start dependencies.
        stop: `rm`: stop first.
        volumes: `rm`: remove anonymous volumes too.
        remove_orphans: `kill`: also containers of services that are not in the file.
        wait: `start`: wait until everything runs or is healthy.
        wait_timeout: `start`: seconds for `wait`.
        parallel: Most operations at once, 0 without limit.
    """

    services: tuple[str, ...] = ()
    timeout: float | None = None
    signal: str = "SIGKILL"
    no_deps: bool = False
    stop: bool = False
    volumes: bool = False
    remove_orphans: bool = False
    wait: bool = False
    wait_timeout: float | None = None
    parallel: int = 0


@frozen
class RunOptions:
    """For `run`: one container for one command.

    Attributes:
        service: The service it is like.
        command: Instead of the service's; None: the service's.
        entrypoint: Instead of the service's; it also clears the command.
        environment: `KEY=VALUE`, or `KEY` to take it away.
        name: Container name, instead of a made-up one.
        user: Instead of the service's.
        working_dir: Instead of the service's.
        labels: Further labels.
        volumes: Further mounts, as canonical `volumes` entries (a parsed -v).
        ports: Published ports, as canonical `ports` entries (a parsed -p).
        service_ports: Publish the service's own ports.
        use_aliases: Answer to the service's names.
        no_deps: Do not start what the service needs.
        cap_add: Further capabilities.
        cap_drop: Fewer capabilities.
        tty: Give it a terminal.
        stdin_open: Keep its standard input open.
        remove: Remove it, with its anonymous volumes, when it ends.
        start: False leaves it created; the caller attaches, then asks for `start_container`.
        build: As in `UpOptions`.
        pull: As in `UpOptions`.
        remove_orphans: As in `UpOptions`.
        parallel: As in `UpOptions`.
        quiet_pull: As in `UpOptions`.
        quiet_build: As in `UpOptions`.
    """

    service: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()
    name: str = ""
    user: str = ""
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mapping[str, object], ...] = ()
    ports: tuple[Mapping[str, object], ...] = ()
    service_ports: bool = False
    use_aliases: bool = False
    no_deps: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    tty: bool = False
    stdin_open: bool = False
    remove: bool = False
    start: bool = True
    build: BuildPolicy = "missing"
    pull: PullPolicy = ""
    remove_orphans: bool = False
    parallel: int = 0
    quiet_pull: bool = False
    quiet_build: bool = False
