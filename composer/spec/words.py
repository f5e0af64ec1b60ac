r"""A command line as words, the way the reference loader splits it.

Quotes and backslashes as in a shell, but no expansion of any kind. An unquoted `;`, `&`, `|`, `<` or `>`
ends the list without a complaint; an unquoted parenthesis, an open quote or a backslash at the end is an
error.
"""

from __future__ import annotations


def split_words(line: str) -> list[str]:
    """The words of *line*.

    Raises:
        ValueError: The line is not a command line.
    """
    words: list[str] = []
    current = ""
    started = escaped = single = double = back = dollar = False
    for character in line:
        if escaped:
            current += character
            escaped = False
        elif character == "\\":
            if single:
                current += character
            else:
                escaped = True
            continue
        elif character in " \t\r\n":
            if single or double or back or dollar:
                current += character
            elif started:
                words.append(current)
                current = ""
                started = False
            continue
        elif character == '"' and not single and not dollar:
            started |= double
            double = not double
            continue
        elif character == "'" and not double and not dollar:
            started |= single
            single = not single
            continue
        elif character in ";&|<>" and not (single or double or back or dollar):
            # a digit before > is a descriptor and goes with it
            started = started and not (character == ">" and current[:1].isdigit())
            break
        else:
            if character == "`" and not (single or double or dollar):
                back = not back
            elif character == ")" and not (single or double or back):
                dollar = not dollar
            elif character == "(" and not (single or double or back):
                if dollar or not current.endswith("$"):
                    raise ValueError("invalid command line string")
                dollar = True
            current += character
        started = True
    if escaped or single or double or back or dollar:
        raise ValueError("invalid command line string")
    return [*words, current] if started else words
