"""A stage's state between instructions: its configuration so far, its layers, its variables.

The instructions that only change the configuration are carried out here; they are pure.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.build.dockerfile import instructions as ins
from composer.build.patterns import clean
from composer.build.scope import DEFAULT_PATH, Scope
from composer.errors import BuildError
from composer.frozen import frozen
from composer.images.config import History, ImageConfig, ImageHealthcheck

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.build.scope import GlobalArguments
    from composer.images.layers import Layer

COMMENT = "buildkit.dockerfile.v0"
"""What history entries carry, since tools look for it to read the rest."""

# As in `ports`, with a host's part that means nothing here: [[ADDRESS:]HOST_PORT:]PORT[-PORT][/PROTOCOL]
_PORT = re.compile(r"(?:(?:(?:\[[^\]]*\]|[^:/]*):)?[\d-]*:)?(\d+)(?:-(\d+))?(?:/([A-Za-z]*))?")
_SIGNALS = frozenset(
    (
        "HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD CONT STOP "
        "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS UNUSED"
    ).split()
)
_REALTIME = re.compile(r"RTM(?:IN(?:\+(\d+))?|AX(?:-(\d+))?)")
_LAST_SIGNAL = 64


@frozen
class Snapshot:
    """What one stage hands to a stage that is built on it, or copies from it.

    Attributes:
        config: Its configuration; `diff_ids` name its layers.
        layers: Directories, lowest first.
        chain: Chain ID of the whole, empty without layers.
        args: Its ARGs.
        created: Newest time of its layers, RFC 3339, or empty.
    """

    config: ImageConfig
    layers: tuple[str, ...] = ()
    chain: str = ""
    args: Mapping[str, str | None] | None = None
    created: str = ""


class StageState:
    """The state of a stage that is being built.

    Args:
        base: What FROM gave.
        globals_: ARGs before the first FROM.
        escape: The file's escape character.
    """

    def __init__(self, base: Snapshot, globals_: GlobalArguments, escape: str) -> None:
        self.config = base.config
        self.layers = base.layers
        self.chain = base.chain
        self.created = base.created
        self._own_cmd = False
        environment = dict(entry.partition("=")[::2] for entry in base.config.env)
        if "PATH" not in environment:
            environment["PATH"] = DEFAULT_PATH
        self.scope = Scope(environment, globals_, base.args, escape)
        self._keep_env()
        if not self.config.working_dir:
            self.config = replace(self.config, working_dir="/")

    @property
    def workdir(self) -> str:
        """Absolute working directory."""
        return self.config.working_dir or "/"

    @property
    def shell(self) -> tuple[str, ...]:
        """What shell forms are given to."""
        return self.config.shell or ("/bin/sh", "-c")

    def snapshot(self) -> Snapshot:
        """The state as others see it."""
        return Snapshot(self.config, self.layers, self.chain, dict(self.scope.args), self.created)

    def absolute(self, path: str) -> str:
        """*path* relative to the working directory, cleaned."""
        return clean(path if path.startswith("/") else f"{self.workdir}/{path}")

    def add_layer(self, layer: Layer, created: str, created_by: str) -> None:
        """One more layer with its line of history."""
        self.layers = (*self.layers, str(layer.diff))
        self.chain = layer.chain_id
        self.created = max(self.created, created)
        entry = History(created=created, created_by=f"{created_by} # buildkit", comment=COMMENT)
        self.config = self.config.with_layer(layer.diff_id, entry)

    def note(self, created_by: str) -> None:
        """A line of history for an instruction without a layer; its time is filled in at the end."""
        entry = History(created_by=created_by, comment=COMMENT, empty_layer=True)
        self.config = replace(self.config, history=(*self.config.history, entry))

    def apply(self, instruction: ins.Instruction) -> bool:  # noqa: PLR0915 - one case per instruction
        """Carry out an instruction that needs no files; False when it is not such a one.

        Raises:
            BuildError: A variable or a value is wrong.
        """
        text = self.scope.text
        match instruction:
            case ins.Arg(items=items):
                self._arg(items)
            case ins.Env(pairs=pairs):
                values = [(text(name), text(value)) for name, value in pairs]
                self.scope.set_env(values)
                self._keep_env()
                self.note("ENV " + " ".join(f"{name}={value}" for name, value in values))
            case ins.Label(pairs=pairs):
                labels = {text(name): text(value) for name, value in pairs}
                self.config = replace(self.config, labels={**self.config.labels, **labels})
                self.note("LABEL " + " ".join(f"{name}={value}" for name, value in labels.items()))
            case ins.Cmd(command=command, json=json):
                self.config = replace(self.config, cmd=self._argv(command, json=json))
                self._own_cmd = True
                self.note(f"CMD {_array(self.config.cmd or ())}")
            case ins.Entrypoint(command=command, json=json):
                argv = self._argv(command, json=json)
                self.config = replace(self.config, entrypoint=argv)
                if not self._own_cmd:
                    self.config = replace(self.config, cmd=None)
                self.note(f"ENTRYPOINT {_array(argv)}")
            case ins.Shell(command=command):
                self.config = replace(self.config, shell=command)
                self.note(f"SHELL {_array(command)}")
            case ins.Healthcheck():
                self._healthcheck(instruction)
            case ins.Expose(ports=ports):
                self._expose(ports)
            case ins.Volume(paths=paths):
                found = [text(path) for path in paths]
                if not all(found):
                    raise BuildError("a path of VOLUME comes out empty")
                volumes = tuple(dict.fromkeys((*self.config.volumes, *found)))
                self.config = replace(self.config, volumes=volumes)
                self.note(f"VOLUME [{' '.join(found)}]")
            case ins.User(user=user):
                value = text(user)
                self.config = replace(self.config, user=value)
                self.note(f"USER {value}")
            case ins.StopSignal(signal=signal):
                value = text(signal)
                _check_signal(value)
                self.config = replace(self.config, stop_signal=value)
                self.note(f"STOPSIGNAL {value}")
            case ins.Maintainer(name=name):
                self.config = replace(self.config, author=name)
                self.note(f"MAINTAINER {name}")
            case ins.Onbuild(expression=expression):
                self.config = replace(self.config, on_build=(*self.config.on_build, expression))
                self.note(f"ONBUILD {expression}")
            case _:
                return False
        return True

    def _arg(self, items: Sequence[tuple[str, str | None]]) -> None:
        shown = []
        for name, default in items:
            self.scope.declare(name, None if default is None else self.scope.text(default))
            value = self.scope.args[name]
            shown.append(name if value is None else f"{name}={value}")
        self.note("ARG " + " ".join(shown))

    def _argv(self, command: tuple[str, ...], *, json: bool) -> tuple[str, ...]:
        if json or not command:
            return command
        return (*self.shell, *command)

    def _keep_env(self) -> None:
        self.config = replace(
            self.config, env=tuple(f"{name}={value}" for name, value in self.scope.env.items())
        )

    def _healthcheck(self, instruction: ins.Healthcheck) -> None:
        probe = ImageHealthcheck(
            instruction.test,
            instruction.interval,
            instruction.timeout,
            instruction.start_period,
            instruction.start_interval,
            instruction.retries,
        )
        self.config = replace(self.config, healthcheck=probe)
        self.note(f"HEALTHCHECK {_array(instruction.test)}")

    def _expose(self, words: Sequence[str]) -> None:
        ports: list[str] = []
        for word in words:
            for port in self.scope.expand(word).words:
                ports += parse_port(port)
        merged = tuple(dict.fromkeys((*self.config.exposed_ports, *ports)))
        self.config = replace(self.config, exposed_ports=merged)
        self.note(f"EXPOSE [{' '.join(ports)}]")


def parse_port(text: str) -> list[str]:
    """`port/protocol` for every port that one word of EXPOSE names.

    Raises:
        BuildError: No port, an unknown protocol, or out of range.
    """
    match = _PORT.fullmatch(text)
    if match is None:
        raise BuildError(f"{text!r} is not a port", hint="write it as 80, 53/udp or 7000-7002")
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    protocol = (match.group(3) or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp") or text.endswith("/"):
        raise BuildError(f"{text!r}: the protocol is tcp, udp or sctp")
    if not first <= last <= 65535:
        raise BuildError(f"{text!r} is not a port", hint="ports are 0 to 65535")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _check_signal(text: str) -> None:
    number = int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None
    if number is not None and 0 < number <= _LAST_SIGNAL:
        return
    name = text.upper().removeprefix("SIG")
    if number is None and (name in _SIGNALS or _REALTIME.fullmatch(name)):
        return
    raise BuildError(f"{text!r} is not a signal", hint="write a name such as SIGTERM, or a number")


def _array(words: Sequence[str]) -> str:
    import json

    return json.dumps(list(words), ensure_ascii=False)
