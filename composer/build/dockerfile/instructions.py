"""Every Dockerfile instruction as a value. Variables are not expanded yet; texts are as written."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from composer.frozen import frozen

if TYPE_CHECKING:
    from composer.build.dockerfile.heredocs import Heredoc
    from composer.build.dockerfile.lexer import Node


@frozen
class From:
    """`FROM [--platform=P] base [AS name]`; `name` is lower case, `shown_name` as written."""

    node: Node
    base: str
    name: str = ""
    shown_name: str = ""
    platform: str = ""


@frozen
class Arg:
    """`ARG name[=default] ...`; a default of None means: none."""

    node: Node
    items: tuple[tuple[str, str | None], ...]


@frozen
class Env:
    """`ENV name=value ...`, quotes still in place."""

    node: Node
    pairs: tuple[tuple[str, str], ...]


@frozen
class Label:
    """`LABEL name=value ...`, quotes still in place."""

    node: Node
    pairs: tuple[tuple[str, str], ...]


@frozen
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


@frozen
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


@frozen
class Cmd:
    """`CMD`: an argument vector (`json`), or one string for the shell."""

    node: Node
    command: tuple[str, ...]
    json: bool


@frozen
class Entrypoint:
    """`ENTRYPOINT`: an argument vector (`json`), or one string for the shell."""

    node: Node
    command: tuple[str, ...]
    json: bool


@frozen
class Shell:
    """`SHELL`, what shell forms are given to."""

    node: Node
    command: tuple[str, ...]


@frozen
class Healthcheck:
    """`HEALTHCHECK`: `test` as the image config has it; times in nanoseconds, 0 means the default."""

    node: Node
    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@frozen
class Expose:
    """`EXPOSE`: words; each may expand to several ports."""

    node: Node
    ports: tuple[str, ...]


@frozen
class Volume:
    """`VOLUME`: paths."""

    node: Node
    paths: tuple[str, ...]


@frozen
class User:
    """`USER name[:group]`."""

    node: Node
    user: str


@frozen
class Workdir:
    """`WORKDIR path`."""

    node: Node
    path: str


@frozen
class StopSignal:
    """`STOPSIGNAL signal`."""

    node: Node
    signal: str


@frozen
class Maintainer:
    """`MAINTAINER name`, deprecated."""

    node: Node
    name: str


@frozen
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


@frozen
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
