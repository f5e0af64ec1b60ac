"""Runs all checks over a Dockerfile: of its form, of its FROM lines, of the stages that are needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from composer.build.dockerfile.instructions import Env, Label, Maintainer, Stage
from composer.build.dockerfile.parser import Dockerfile, parse
from composer.build.dockerfile.words import WordError, expand
from composer.build.lint.rules import Findings, LintWarning, inline_check, parse_check
from composer.build.lint.stage import StageChecker
from composer.build.patterns import IgnoreRules
from composer.build.scope import GlobalArguments, evaluate_globals, host_platform, platform_arguments
from composer.build.stages import needed_stages
from composer.errors import BuildError, ImageError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK = "\x00target\x00"


@frozen
class LintResult:
    """What was found.

    Attributes:
        warnings: By line.
        fails: `error=true` is set and something was found.
        error: Why the file cannot be built at all.
    """

    warnings: tuple[LintWarning, ...]
    fails: bool
    error: BuildError | None = None


def check(
    text: str, *, file: str = "Dockerfile", build_args: Mapping[str, str] | None = None, target: str = ""
) -> LintResult:
    """Parse *text* and check it.

    Raises:
        BuildError: It cannot be parsed.
    """
    return check_dockerfile(parse(text, file), build_args=build_args or {}, target=target)


def check_dockerfile(
    dockerfile: Dockerfile,
    *,
    build_args: Mapping[str, str],
    target: str = "",
    every_stage: bool = True,
    ignore: IgnoreRules | None = None,
    contexts: Mapping[str, str] | None = None,
) -> LintResult:
    """Check a parsed file.

    Args:
        dockerfile: The file.
        build_args: The caller's `--build-arg`s.
        target: `--target`: only what it needs has its instructions checked.
        every_stage: Without a target, check every stage, not only what the last one needs.
        ignore: `.dockerignore`, for `CopyIgnoredFile`.
        contexts: Named contexts, which may stand for stages.

    Raises:
        BuildError: A `check` directive is wrong.
    """
    directive = dockerfile.source.directives.get("check")
    findings = Findings(parse_check(directive[0]) if directive else parse_check(""))
    for node in dockerfile.source.nodes:
        options = inline_check(node.comments)
        if options is not None:
            findings.inline[node.first_line] = options
    _check_form(dockerfile, findings)
    host = host_platform()
    globals_ = evaluate_globals(dockerfile.arguments, platform_arguments(host, host, target), build_args)
    defaults = evaluate_globals(dockerfile.arguments, platform_arguments(host, host, target), {})
    error: BuildError | None = None
    for stage in dockerfile.stages:
        error = _check_from(stage, dockerfile, globals_, defaults, findings) or error
    checker = StageChecker(dockerfile, globals_, findings, ignore or IgnoreRules())
    if dockerfile.stages:
        every = every_stage and not target
        checker.run(
            {stage.index for stage in dockerfile.stages}
            if every
            else needed_stages(dockerfile, _target(dockerfile, target), globals_, contexts or {})
        )
    warnings = findings.sorted()
    return LintResult(warnings, bool(findings.options.error and warnings), error)


def _target(dockerfile: Dockerfile, name: str) -> int:
    last = dockerfile.stages[-1].index
    if not name:
        return last
    return next((stage.index for stage in reversed(dockerfile.stages) if stage.name == name.lower()), last)


def _check_form(dockerfile: Dockerfile, findings: Findings) -> None:
    nodes = dockerfile.source.nodes
    upper = sum(node.keyword == node.keyword.upper() for node in nodes)
    lower = sum(node.keyword == node.keyword.lower() for node in nodes)
    for node in nodes:
        right = node.keyword.lower() if lower > upper else node.keyword.upper()
        if node.keyword != right:
            findings.add(
                "ConsistentInstructionCasing",
                node.first_line,
                f"{node.keyword!r} is written differently from most keywords: write {right}",
            )
        if node.empty_continuation:
            findings.add(
                "NoEmptyContinuation",
                node.first_line,
                "there is an empty line inside a continued instruction",
                at=node.empty_continuation,
            )
    for argument in dockerfile.arguments:
        _check_description(
            [name for name, _ in argument.items], argument.node.comments, argument.node, findings
        )
    seen: set[str] = set()
    for stage in dockerfile.stages:
        _check_stage_name(stage, seen, findings)
        for instruction in stage.instructions:
            line = instruction.node.first_line
            if isinstance(instruction, Maintainer):
                findings.add(
                    "MaintainerDeprecated", line, "MAINTAINER is deprecated: write LABEL maintainer=..."
                )
            elif isinstance(instruction, (Env, Label)) and instruction.node.arguments.legacy:
                keyword = instruction.node.keyword.upper()
                findings.add(
                    "LegacyKeyValueFormat",
                    line,
                    f"'{keyword} name value' is an old form: write {keyword} name=value",
                )


def _check_stage_name(stage: Stage, seen: set[str], findings: Findings) -> None:
    start = stage.start
    line = start.node.first_line
    if not start.name:
        return
    keyword, word = start.node.keyword, start.node.arguments.values[1]
    fitting = {keyword.upper(): "AS", keyword.lower(): "as"}.get(keyword)
    if fitting is not None and word != fitting:
        findings.add("FromAsCasing", line, f"{keyword!r} and {word!r} differ in case")
    if start.shown_name != start.name:
        findings.add("StageNameCasing", line, f"stage name {start.shown_name!r} should be lower case")
    if start.name in seen:
        findings.add("DuplicateStageName", line, f"stage name {start.shown_name!r} is used twice")
    if start.name in ("scratch", "context"):
        findings.add("ReservedStageName", line, f"stage name {start.shown_name!r} is reserved")
    seen.add(start.name)
    _check_description([start.shown_name], start.node.comments, start.node, findings)


def _check_description(names: list[str], comments: tuple[str, ...], node: object, findings: Findings) -> None:
    line = getattr(node, "first_line", 0)
    described = [comment for comment in comments if not re.match(r"check\s*=", comment)]
    if described and described[-1].split(" ")[0] not in names:
        findings.add(
            "InvalidDefinitionDescription",
            line,
            f"the comment above should begin with {names[0]!r}, or be set apart by an empty line",
        )


def _check_from(
    stage: Stage,
    dockerfile: Dockerfile,
    globals_: GlobalArguments,
    defaults: GlobalArguments,
    findings: Findings,
) -> BuildError | None:
    start = stage.start
    line = start.node.first_line
    escape = dockerfile.source.escape
    error: BuildError | None = None
    unset: list[str] = []
    for text in (start.base, start.platform):
        try:
            unset += expand(text, globals_.values, escape=escape).unset
        except WordError:
            continue
    for name in dict.fromkeys(unset):
        if name not in globals_.declared:
            findings.add("UndefinedArgInFrom", line, f"FROM uses ${name}, which no ARG before it declares")
    if _invalid_base(start.base, defaults, escape) is not None:
        findings.add(
            "InvalidDefaultArgInFrom",
            line,
            f"with the defaults of its ARGs, {start.base!r} is no image name",
        )
    reason = _invalid_base(start.base, globals_, escape)
    if reason is not None:
        error = BuildError(reason, where=dockerfile.location(line))
    if start.platform:
        _check_platform(stage, escape, findings)
    return error


def _invalid_base(base: str, arguments: GlobalArguments, escape: str) -> str | None:
    from composer.images.reference import parse as parse_reference

    try:
        name = expand(base, arguments.values, escape=escape).text
        if not name:
            return f"the base image {base!r} is blank"
        parse_reference(name)
    except WordError as error:
        return error.message
    except ImageError as error:
        # A name in this form may still be a stage; those are lower-case words, which always parse.
        return error.message
    return None


def _check_platform(stage: Stage, escape: str, findings: Findings) -> None:
    start = stage.start
    line = start.node.first_line
    if "$" not in start.platform:
        parts = start.platform.lower().split("/")
        if not any(part and part in start.name for part in parts[:2]):
            findings.add(
                "FromPlatformFlagConstDisallowed",
                line,
                f"--platform has the constant value {start.platform!r}: the build makes one platform only",
            )
        return
    try:
        redundant = expand(start.platform, {"TARGETPLATFORM": _MARK}, escape=escape).text == _MARK
    except WordError:
        return
    if redundant:
        findings.add(
            "RedundantTargetPlatform", line, "--platform=$TARGETPLATFORM is the default: leave it out"
        )
