"""`composer config --format json` over our own inputs: one directory each under `cases/<kind>`.

`in/` is copied to a directory called `proj`; `expected.json` is the document, with `@DIR@` and `@HOME@` for
directories, `expected-error.txt` a part of the refusal. `COMPOSER_UPDATE_CASES=1` writes what is missing, to
be read and judged before it is committed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from composer.cli.commands import config
from composer.cli.context import Context
from composer.cli.options import parse_global
from composer.errors import ComposerError

CASES = Path(__file__).parent / "cases"
NAMES = sorted(str(path.parent.relative_to(CASES)) for path in CASES.glob("*/*/case.json"))
KINDS = {
    "cli", "compose-e2e", "dotenv", "envfile", "interpolation", "loader", "merge", "normalize", "port",
    "schema", "spec", "volume",
}  # fmt: skip


def run(case, tmp_path):
    project, home = tmp_path / "proj", tmp_path / "home"
    shutil.copytree(case / "in", project)
    home.mkdir()
    options = json.loads((case / "case.json").read_text())
    parsed, _ = parse_global(options["global_args"])
    out = io.StringIO()
    context = Context(
        parsed,
        environ={"HOME": str(home), **options["env"]},
        stdout=out,
        stderr=io.StringIO(),
        cwd=str(project / options["cwd"]),
    )
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    try:
        code = config.run(parser.parse_args(["--format", "json", *options["args"]]), context)
    except ComposerError as error:
        return None, str(error).replace(str(project), "@DIR@").replace(str(home), "@HOME@")
    assert code == 0
    return json.loads(out.getvalue().replace(str(project), "@DIR@").replace(str(home), "@HOME@")), ""


@pytest.mark.parametrize("name", NAMES)
def test_case(name, tmp_path):
    case = CASES / name
    document, error = run(case, tmp_path)
    expected, refusal = case / "expected.json", case / "expected-error.txt"
    if os.environ.get("COMPOSER_UPDATE_CASES") and not expected.exists() and not refusal.exists():
        if error:
            refusal.write_text(error + "\n")
        else:
            expected.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        pytest.fail("written; read it")
    if refusal.exists():
        assert refusal.read_text().strip() in error
    else:
        assert error == ""
        assert document == json.loads(expected.read_text())


def test_every_kind_has_a_case():
    assert {name.split("/")[0] for name in NAMES} == KINDS
