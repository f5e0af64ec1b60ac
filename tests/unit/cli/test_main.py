"""Errors of commands point at the file, also when the command names only an element of it."""

from __future__ import annotations

from composer.cli.main import main


def test_an_element_is_found_in_the_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    image: 127.0.0.1:1/nothing\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPOSER_HOME", str(tmp_path / "home"))
    assert main(["lock"]) == 1
    assert capsys.readouterr().err.startswith("compose.yaml:3:5: services.web.image: ")
