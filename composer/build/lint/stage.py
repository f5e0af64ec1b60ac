"""Checks that follow a stage's variables from instruction to instruction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from composer.build.dockerfile import instructions as ins
from composer.build.dockerfile.words import WordError, expand
from composer.build.lint.rules import Findings
from composer.build.patterns import IgnoreRules, clean, has_wildcard
from composer.build.scope import DEFAULT_PATH, GlobalArguments, Scope
from composer.build.stages import base_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer.build.dockerfile.parser import Dockerfile

_SECRET = frozenset("apikey auth credential credentials key password pword passwd secret token".split())
_HARMLESS = frozenset({"public", "file", "version"})
_LONE_PORT = re.compile(r"\d+(-\d+)?(/.*)?")


class StageChecker:
    """Walks the stages of a file in order; findings are reported for the wanted ones."""

    def __init__(
        self, dockerfile: Dockerfile, globals_: GlobalArguments, findings: Findings, ignore: IgnoreRules
    ) -> None:
        self._dockerfile = dockerfile
        self._globals = globals_
        self._all = findings
        self._findings = findings
        self._ignore = ignore
        self._scopes: dict[int, Scope] = {}
        self._workdir: dict[int, bool] = {}
        self._shell: dict[int, bool] = {}

    def run(self, wanted: set[int]) -> None:
        """Check all stages; stages that are not *wanted* only pass their variables on."""
        for stage in self._dockerfile.stages:
            # A stage nobody needs is walked for its variables, with its findings thrown away.
            self._findings = (
                self._all if stage.index in wanted else Findings(self._all.options, self._all.inline)
            )
            self._stage(stage)

    def _stage(self, stage: ins.Stage) -> None:
        try:
            base = base_stage(self._dockerfile, stage, self._globals)
        except WordError:
            base = None
        inherited = self._scopes.get(base) if base is not None else None
        scope = Scope(
            inherited.env if inherited else {"PATH": DEFAULT_PATH},
            self._globals,
            inherited.args if inherited else None,
            self._dockerfile.source.escape,
        )
        self._scopes[stage.index] = scope
        self._workdir[stage.index] = base is not None and self._workdir.get(base, False)
        self._shell[stage.index] = base is not None and self._shell.get(base, False)
        self._check_repeats(stage)
        for instruction in stage.instructions:
            self._instruction(stage, scope, instruction)

    def _check_repeats(self, stage: ins.Stage) -> None:
        for kind in (ins.Cmd, ins.Entrypoint, ins.Healthcheck):
            found = [entry for entry in stage.instructions if isinstance(entry, kind)]
            for entry in found[:-1]:
                self._findings.add(
                    "MultipleInstructionsDisallowed",
                    entry.node.first_line,
                    f"only the last {entry.node.keyword.upper()} of a stage counts",
                )

    def _instruction(self, stage: ins.Stage, scope: Scope, instruction: ins.Instruction) -> None:
        line = instruction.node.first_line
        match instruction:
            case ins.Arg(items=items):
                for name, default in items:
                    self._check_secret("ARG", name, line)
                    value = None if default is None else self._expand(scope, default, line)
                    scope.declare(name, value)
            case ins.Env(pairs=pairs):
                values = []
                for name, value in pairs:
                    self._check_secret("ENV", name, line)
                    values.append((self._expand(scope, name, line), self._expand(scope, value, line)))
                scope.set_env(values)
            case ins.Label(pairs=pairs):
                self._expand_all(scope, [word for pair in pairs for word in pair], line)
            case ins.Copy():
                self._copy(scope, instruction)
            case ins.Workdir(path=path):
                self._workdir_path(stage, self._expand(scope, path, line), line)
            case ins.User(user=text) | ins.StopSignal(signal=text):
                self._expand(scope, text, line)
            case ins.Volume(paths=paths):
                self._expand_all(scope, paths, line)
            case ins.Shell():
                self._shell[stage.index] = True
            case ins.Cmd(json=False, command=command) | ins.Entrypoint(json=False, command=command):
                if command and not self._shell[stage.index]:
                    keyword = instruction.node.keyword.upper()
                    self._findings.add(
                        "JSONArgsRecommended",
                        line,
                        f"{keyword} in shell form keeps signals from the program: write a JSON array",
                    )
            case ins.Expose(ports=ports):
                self._expose(scope, ports, line)
            case _:
                pass

    def _expand_all(self, scope: Scope, words: Iterable[str], line: int) -> None:
        for word in words:
            self._expand(scope, word, line)

    def _expand(self, scope: Scope, text: str, line: int, *, quotes: bool = True) -> str:
        try:
            done = scope.expand(text, quotes=quotes)
        except WordError:
            return ""
        for name in dict.fromkeys(done.unset):
            if scope.is_known(name):
                continue
            self._findings.add(
                "UndefinedVar", line, f"${name} is neither ARG nor ENV{self._near(scope, name)}"
            )
        return done.text

    def _near(self, scope: Scope, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name, [*scope.env, *scope.args, *self._globals.declared], 1, 0.75)
        return f" (did you mean ${near[0]}?)" if near else ""

    def _check_secret(self, keyword: str, name: str, line: int) -> None:
        words = set(name.lower().split("_"))
        if words & _SECRET and not words & _HARMLESS:
            self._findings.add(
                "SecretsUsedInArgOrEnv",
                line,
                f"{keyword} {name!r} looks like a secret that stays in the image: use a secret mount",
            )

    def _workdir_path(self, stage: ins.Stage, path: str, line: int) -> None:
        if path and not path.startswith("/") and not self._workdir[stage.index]:
            self._findings.add(
                "WorkdirRelativePath",
                line,
                f"WORKDIR {path!r} is relative, and depends on the base image: write an absolute path",
            )
        self._workdir[stage.index] = True

    def _copy(self, scope: Scope, instruction: ins.Copy) -> None:
        line = instruction.node.first_line
        texts = [*instruction.sources, instruction.destination, instruction.chown, instruction.chmod]
        self._expand_all(scope, [*texts, instruction.checksum], line)
        for heredoc in instruction.heredocs:
            if heredoc.expand:
                self._expand(scope, heredoc.text, line, quotes=False)
        if not instruction.source and self._ignore and not self._ignore.has_negation:
            self._check_ignored(scope, instruction.sources, line)

    def _check_ignored(self, scope: Scope, sources: Sequence[str], line: int) -> None:
        for source in sources:
            try:
                text = expand(source, scope.variables).text
            except WordError:
                continue
            if has_wildcard(text) or "://" in text:
                continue
            path = clean("/" + text).lstrip("/")
            excluded = self._ignore.excludes(path) if path else self._excludes_everything()
            if excluded:
                self._findings.add(
                    "CopyIgnoredFile", line, f"source {source!r} is excluded by the ignore file"
                )

    def _excludes_everything(self) -> bool:
        return any(pattern.text in ("*", "**") for pattern in self._ignore.patterns)

    def _expose(self, scope: Scope, ports: Iterable[str], line: int) -> None:
        for word in ports:
            try:
                texts = scope.expand(word).words
            except WordError:
                continue
            for text in texts:
                protocol = text.partition("/")[2]
                if protocol != protocol.lower():
                    self._findings.add(
                        "ExposeProtoCasing", line, f"the protocol of {text!r} should be lower case"
                    )
                if not _LONE_PORT.fullmatch(text):
                    self._findings.add(
                        "ExposeInvalidFormat",
                        line,
                        f"{text!r} should be a port only: an address or host port has no effect here",
                    )
