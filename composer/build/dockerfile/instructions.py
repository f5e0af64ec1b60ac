"""Every Dockerfile instruction as a value. Variables are not expanded yet; texts are as written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from composer.build.dockerfile.heredocs import Heredoc
    from composer.build.dockerfile.lexer import Node


@dataclass(frozen=True, slots=True)
class From:
    """`FROM [--platform=P] base [AS name]`; `name` is lower case, `shown_name` as written."""

    node: Node
    base: str
    name: str = ""
    shown_name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Arg:
    """`ARG name[=default] ...`; a default of None means: none."""

    node: Node
    items: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Env:
    """`ENV name=value ...`, quotes still in place."""

    node: Node
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Label:
    """`LABEL name=value ...`, quotes still in place."""

    node: Node
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """`RUN`: the words of a JSON array, or one string for the shell (`json` tells), with its options."""

    node: Node
    command: tuple[str, ...]
    json: bool
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """`COPY` or (`add`) `ADD`.

    Attributes:
        node: As written.
        add: It is ADD: archives are unpacked, URLs and repositories fetched.
        sources: Paths, patterns, URLs.
        heredocs: Files given in place.
        destination: A trailing slash matters.
        source: `--from`.
        chown: `user[:group]`.
        chmod: Octal or symbolic.
        link: Lay an independent layer.
        parents: Keep the sources' directories.
        excludes: Ignore patterns.
        keep_git_dir: Keep `.git` of a repository.
        checksum: Of what a URL gives, or a commit.
        unpack: `--unpack`, None when it is not given.
    """

    node: Node
    add: bool
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: str
    source: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    keep_git_dir: bool = False
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Cmd:
    """`CMD`: an argument vector (`json`), or one string for the shell."""

    node: Node
    command: tuple[str, ...]
    json: bool


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """`ENTRYPOINT`: an argument vector (`json`), or one string for the shell."""

    node: Node
    command: tuple[str, ...]
    json: bool


@dataclass(frozen=True, slots=True)
class Shell:
    """`SHELL`, what shell forms are given to."""

    node: Node
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """`HEALTHCHECK`: `test` as the image config has it; times in nanoseconds, 0 means the default."""

    node: Node
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Expose:
    """`EXPOSE`: words; each may expand to several ports."""

    node: Node
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """`VOLUME`: paths."""

    node: Node
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User:
    """`USER name[:group]`."""

    node: Node
    user: str


@dataclass(frozen=True, slots=True)
class Workdir:
    """`WORKDIR path`."""

    node: Node
    path: str


@dataclass(frozen=True, slots=True)
class StopSignal:
    """`STOPSIGNAL signal`."""

    node: Node
    signal: str


@dataclass(frozen=True, slots=True)
class Maintainer:
    """`MAINTAINER name`, deprecated."""

    node: Node
    name: str


@dataclass(frozen=True, slots=True)
class Onbuild:
    """`ONBUILD instruction`; `expression` is what the image config keeps, here-documents included."""

    node: Node
    expression: str


Instruction: TypeAlias = (
    From
    | Arg
    | Env
    | Label
    | Run
    | Copy
    | Cmd
    | Entrypoint
    | Shell
    | Healthcheck
    | Expose
    | Volume
    | User
    | Workdir
    | StopSignal
    | Maintainer
    | Onbuild
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it.

    Attributes:
        index: Counted from 0.
        start: Its FROM.
        instructions: What follows.
    """

    index: int
    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Lower-case name, or an empty string."""
        return self.start.name

    @property
    def title(self) -> str:
        """What progress and errors call it."""
        return self.start.shown_name or f"stage-{self.index}"
