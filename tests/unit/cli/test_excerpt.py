"""What a terminal shows below an error: the line, and a caret below what is meant."""

from __future__ import annotations

from composer.cli.render.excerpt import excerpt
from composer.errors import ComposerError, Location


def test_the_caret_stands_below_the_word(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    prots: ['80']\n")
    assert excerpt(Location(str(file), 3, 5)) == "  3 |     prots: ['80']\n    |     ^^^^^\n"


def test_the_caret_covers_what_is_quoted(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text("""ports: ["80:80", "a:b", 'c d']\n""")
    line, carets = excerpt(Location(str(file), 1, 18)).splitlines()
    assert carets.strip() == "| " + " " * 17 + "^^^^^"
    assert line.index('"a:b"') == carets.index("^")
    assert excerpt(Location(str(file), 1, 25)).endswith(" ^^^^^\n")


def test_what_may_hold_passwords_is_not_shown(tmp_path):
    file = tmp_path / ".env"
    file.write_text("PASSWORD='open\n")
    assert excerpt(Location(str(file), 1, 1)) == ""


def test_what_is_not_there_is_not_shown(tmp_path):
    file = tmp_path / "compose.yaml"
    assert excerpt(Location(str(file), 1, 1)) == ""
    file.write_text("a: \x1b[2J\n" + "b" * 500 + "\n")
    assert [excerpt(Location(str(file), line, 1)) for line in (1, 2, 3)] == ["", "", ""]


def test_a_path_is_said_once():
    assert str(ComposerError("services.web is wrong", path="services.web")) == "services.web is wrong"
    assert str(ComposerError("is wrong", path="services.web")) == "services.web: is wrong"


def test_a_file_is_named_as_it_would_be_typed():
    place = Location("/srv/app/compose.yaml", 3, 5)
    assert str(place.seen_from("/srv/app")) == "compose.yaml:3:5"
    assert str(place.seen_from("/srv/ap")) == "/srv/app/compose.yaml:3:5"
