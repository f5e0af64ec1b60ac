"""What runs in a container, and with which rights: a service laid over its image; pure."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final

from composer.controller import capabilities
from composer.engine import Device, Healthcheck, Process, Resources, RestartPolicy, Rlimit, ThrottleDevice
from composer.errors import SpecError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.engine import RestartName
    from composer.images.config import ImageConfig
    from composer.spec.model import Project, Service
    from composer.spec.model import ThrottleDevice as ServiceThrottle

_DEVICE_RULE: Final = re.compile(r"[abc] (?:[0-9]+|\*):(?:[0-9]+|\*) [rwm]{1,3}")
LEAST_PAUSE: Final = 0.001
"""Seconds; the same as Docker's."""
LEAST_MEMORY: Final = 6 * 1024 * 1024
"""Bytes; the same as Docker's."""


def arguments(service: Service, image: ImageConfig) -> tuple[str, ...]:
    """Entrypoint and command: a service's entrypoint also drops the image's command.

    Raises:
        SpecError: There is nothing to run.
    """
    entrypoint = service.entrypoint
    command = service.command
    if entrypoint is None:
        entrypoint = image.entrypoint or ()
        if command is None:
            command = image.cmd
    words = (*(() if entrypoint == ("",) else entrypoint), *(command or ()))
    if not words:
        raise SpecError(
            f'service "{service.name}" has no command: neither the file nor the image says what to run',
            hint="add `command`",
            path=f"services.{service.name}",
        )
    return words


def environment(service: Service, image: ImageConfig) -> tuple[str, ...]:
    """The image's variables, then the service's; a None value takes one away."""
    merged: dict[str, str] = {}
    for entry in image.env:
        key, _, value = entry.partition("=")
        merged[key] = value
    for key, wanted in service.environment.items():
        if wanted is None:
            merged.pop(key, None)
        else:
            merged[key] = wanted
    return tuple(f"{key}={value}" for key, value in merged.items())


def build_process(service: Service, image: ImageConfig) -> Process:
    """What becomes pid 1.

    Raises:
        SpecError: There is nothing to run, or a capability does not exist.
    """
    try:
        names = capabilities.effective(service.cap_add, service.cap_drop, privileged=service.privileged)
    except SpecError as error:
        error.path = f"services.{service.name}.{error.path}"
        raise
    return Process(
        args=arguments(service, image),
        env=environment(service, image),
        cwd=service.working_dir or image.working_dir or "/",
        user=service.user or image.user,
        groups=service.group_add,
        terminal=service.tty,
        stdin_open=service.stdin_open,
        capabilities=names,
        privileged=service.privileged,
        no_new_privileges=_no_new_privileges(service.security_opt),
        rlimits=tuple(Rlimit(name, limit.soft, limit.hard) for name, limit in service.ulimits.items()),
        oom_score_adj=service.oom_score_adj,
    )


def _no_new_privileges(options: Sequence[str]) -> bool:
    result = False
    for option in options:
        name, _, value = option.replace("=", ":", 1).partition(":")
        if name == "no-new-privileges":
            result = value != "false"
    return result


def security_options(service: Service, project: Project) -> tuple[str, ...]:
    """All of `security_opt` in `name=value` form; a seccomp profile's path is made absolute."""
    result = []
    for option in service.security_opt:
        name, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else _split(option)
        if name == "no-new-privileges":
            continue
        if name == "seccomp" and value not in ("unconfined", "builtin", ""):
            value = os.path.join(project.working_dir, value)
        result.append(f"{name}={value}")
    return tuple(result)


def _split(option: str) -> tuple[str, str, str]:
    """`name=value`, or `name:value` when the colon comes first."""
    equals, colon = option.find("="), option.find(":")
    return option.partition(":") if -1 < colon < equals else option.partition("=")


def restart_policy(service: Service) -> RestartPolicy:
    """`deploy.restart_policy` wins over `restart`.

    Raises:
        SpecError: The word is none of no, always, on-failure[:n], unless-stopped.
    """
    if service.deploy is not None and service.deploy.restart_policy is not None:
        policy = service.deploy.restart_policy
        names: Mapping[str, RestartName] = {
            "none": "no",
            "no": "no",
            "on-failure": "on-failure",
            "unless-stopped": "unless-stopped",
        }
        return RestartPolicy(names.get(policy.condition, "always"), policy.max_attempts or 0)
    name, _, count = service.restart.partition(":")
    match name:
        case "" | "no":
            return RestartPolicy()
        case "always" | "unless-stopped" if not count:
            return RestartPolicy(name)
        case "on-failure" if not count or count.isdecimal():
            return RestartPolicy("on-failure", int(count or 0))
    raise SpecError(
        f"{service.restart!r} is not a restart policy",
        hint="use no, always, on-failure, on-failure:N or unless-stopped",
        path=f"services.{service.name}.restart",
    )


def health_check(service: Service, image: ImageConfig) -> Healthcheck | None:
    """The probe: unset fields fall back to the image's, then to 30 s, 30 s, 3, 0 s, 5 s.

    Raises:
        SpecError: `start_interval` without `start_period`, or times and counts that make no sense.
    """
    own, base = service.healthcheck, image.healthcheck
    if own is not None and (own.disable or own.test == ("NONE",)):
        return None
    test = own.test if own is not None and own.test else base.test if base is not None else ()
    if not test or test == ("NONE",):
        return None

    def seconds(name: str, default: float) -> float:
        value: float | None = getattr(own, name) if own is not None else None
        if value is None and base is not None:
            value = getattr(base, name) / 1e9
        if value is not None and value != 0 and value < LEAST_PAUSE:
            raise SpecError(
                f"healthcheck.{name} cannot be shorter than 1ms",
                path=f"services.{service.name}.healthcheck.{name}",
            )
        return value or default

    if own is not None and own.start_interval and not seconds("start_period", 0.0):
        raise SpecError(
            "healthcheck.start_interval requires healthcheck.start_period to be set",
            path=f"services.{service.name}.healthcheck",
        )
    retries = own.retries if own is not None and own.retries is not None else base.retries if base else 0
    if retries < 0:
        raise SpecError(
            "healthcheck.retries cannot be negative", path=f"services.{service.name}.healthcheck.retries"
        )
    return Healthcheck(
        test=test,
        interval=seconds("interval", 30.0),
        timeout=seconds("timeout", 30.0),
        retries=retries or 3,
        start_period=seconds("start_period", 0.0),
        start_interval=seconds("start_interval", 5.0),
    )


def resources(service: Service) -> Resources:
    """The cgroup limits; `deploy.resources` wins over the attributes of the same meaning.

    Raises:
        SpecError: Limits that nothing could run in, or that contradict each other.
    """
    limits = service.deploy.resources.limits if service.deploy is not None else None
    reserved = service.deploy.resources.reservations if service.deploy is not None else None
    blkio = service.blkio_config
    memory = _first(limits and limits.memory, service.mem_limit)
    reservation = _first(reserved and reserved.memory, service.mem_reservation)
    _check_limits(service, memory or 0, reservation or 0)
    return Resources(
        memory=memory,
        memory_swap=service.memswap_limit or None,
        memory_reservation=reservation,
        memory_swappiness=service.mem_swappiness,
        oom_kill_disable=service.oom_kill_disable,
        cpus=(limits.cpus if limits is not None and limits.cpus else service.cpus) or None,
        cpu_quota=service.cpu_quota or None,
        cpu_period=service.cpu_period or None,
        cpu_shares=service.cpu_shares or None,
        cpuset_cpus=service.cpuset,
        cpu_rt_runtime=service.cpu_rt_runtime,
        cpu_rt_period=service.cpu_rt_period,
        pids=_first(limits and limits.pids, service.pids_limit),
        blkio_weight=(blkio.weight or None) if blkio else None,
        blkio_weight_devices=tuple(
            ThrottleDevice(item.path, item.weight) for item in (blkio.weight_device if blkio else ())
        ),
        read_bps=_throttles(blkio.device_read_bps if blkio else ()),
        write_bps=_throttles(blkio.device_write_bps if blkio else ()),
        read_iops=_throttles(blkio.device_read_iops if blkio else ()),
        write_iops=_throttles(blkio.device_write_iops if blkio else ()),
        device_rules=service.device_cgroup_rules,
    )


def _check_limits(service: Service, memory: int, reservation: int) -> None:
    """Refuse what the kernel would refuse with a number, or take and then kill everything; as Docker does."""

    def wrong(attribute: str, text: str, hint: str = "") -> SpecError:
        return SpecError(text, hint=hint, path=f"services.{service.name}.{attribute}")

    if 0 < memory < LEAST_MEMORY:
        attribute = "mem_limit" if service.mem_limit else "deploy.resources.limits"
        raise wrong(
            attribute,
            f"a memory limit of {memory} bytes is too small to start a container",
            "give at least 6m",
        )
    if 0 < (service.memswap_limit or 0) < memory:
        raise wrong("memswap_limit", "it is below the memory limit, which it includes")
    if 0 < memory < reservation:
        raise wrong("mem_reservation", "it is above the memory limit")
    if (service.cpus or 0) < 0:
        raise wrong("cpus", "it is negative", "give a number of processors, such as 0.5")
    if service.blkio_config and service.blkio_config.weight and not 10 <= service.blkio_config.weight <= 1000:
        raise wrong("blkio_config.weight", "it is not between 10 and 1000")
    for position, rule in enumerate(service.device_cgroup_rules):
        if not _DEVICE_RULE.fullmatch(rule):
            raise wrong(
                f"device_cgroup_rules[{position}]",
                f"{rule!r} is not a rule for devices",
                "write it like c 1:3 rwm, with a, b or c in front and * for any number",
            )


def _first(preferred: object, fallback: int | None) -> int | None:
    value = preferred if isinstance(preferred, int) and preferred else fallback
    return value or None


def _throttles(items: Sequence[ServiceThrottle]) -> tuple[ThrottleDevice, ...]:
    return tuple(ThrottleDevice(item.path, item.rate) for item in items)


def devices(service: Service) -> tuple[Device, ...]:
    """The host devices.

    Raises:
        UnsupportedError: A CDI name instead of a path.
    """
    result = []
    for position, item in enumerate(service.devices):
        if not item.source.startswith("/"):
            raise UnsupportedError(
                f"device {item.source!r} is a CDI name, which is not supported",
                hint="name the device node, such as /dev/dri/renderD128",
                path=f"services.{service.name}.devices[{position}]",
            )
        result.append(Device(item.source, item.target or item.source, item.permissions or "rwm"))
    return tuple(result)
