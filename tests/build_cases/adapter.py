"""Answers the tables of the build cases: a JSON list of questions on stdin, a JSON list of answers on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

from composer.errors import ComposerError


def shell(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.dockerfile.words import expand

    done = expand(given["input"], given["env"], escape=given.get("escape", "\\"))
    return {"expected": done.words if given["mode"] == "words" else done.text}


def glob(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.patterns import glob_match

    return {"expected": glob_match(given["pattern"], given["name"])}


def dockerignore(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.patterns import IgnoreRules

    return {"expected": IgnoreRules(given["patterns"]).excludes(given["path"])}


def ignorefile(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.patterns import read_ignore_file

    return {"patterns": read_ignore_file(given["content"])}


def dockerfile(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.dockerfile.parser import onbuild_node, parse

    done = parse(given["input"])

    def shown(node: Any) -> list[Any]:
        if node.name == "onbuild":
            return [node.name, list(node.flags), [shown(onbuild_node(node))]]
        return [node.name, list(node.flags), list(node.arguments.values)]

    nodes = done.source.nodes
    return {
        "instructions": [shown(node) for node in nodes],
        "lines": [[node.first_line, node.last_line] for node in nodes],
        "json": [node.arguments.json for node in nodes],
        "heredocs": [[[h.name, h.expand, h.chomp, h.content] for h in node.heredocs] for node in nodes],
        "stages": [[stage.name, stage.start.base] for stage in done.stages],
        "escape": done.source.escape,
        "empty_continuations": sum(bool(node.empty_continuation) for node in nodes),
    }


def reference(given: dict[str, Any]) -> dict[str, Any]:
    from composer.images.reference import parse

    name = parse(given["input"])
    parts = {"tag": name.tag, "digest": name.digest}
    return {
        "domain": name.domain,
        "path": name.path,
        "canonical": name.canonical,
        "familiar": name.familiar,
        **{key: value for key, value in parts.items() if value},
    }


def lint(given: dict[str, Any]) -> dict[str, Any]:
    from composer.build.lint import check

    result = check(given["input"], build_args=given.get("build_args", {}), target=given.get("target", ""))
    answer: dict[str, Any] = {"warnings": [[warning.rule, warning.line] for warning in result.warnings]}
    if result.fails:
        answer["fails"] = True
    if result.error is not None:
        answer["error"] = str(result.error)
    return answer


ANSWERS = {
    "lint": lint,
    "dockerfile": dockerfile,
    "reference": reference,
    "shell": shell,
    "glob": glob,
    "dockerignore": dockerignore,
    "ignorefile": ignorefile,
}


def main() -> None:
    answer = ANSWERS[sys.argv[1]]
    answers = []
    for given in json.load(sys.stdin):
        try:
            answers.append(answer(given))
        except ComposerError as error:
            answers.append({"error": str(error)})
    json.dump(answers, sys.stdout)


main()
