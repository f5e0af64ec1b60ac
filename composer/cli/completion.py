"""Completion scripts for bash, zsh and fish, written out from the command table.

Words that never change stand in the script, so that a tab costs no process; names of services, images and
projects are asked from `composer __complete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.cli.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from composer.cli.describe import Description, Flag


GLOBAL = "_global"
"""Key of what stands before a command; no command is called so."""


def bash(commands: Sequence[Description]) -> str:
    """The script for bash 4 or newer."""
    lines = ["# bash completion for composer: source <(composer completion bash)"]
    lines += ["declare -gA _composer_flags _composer_valued _composer_choices _composer_kind"]
    lines += _bash_tables(commands)
    return "\n".join(lines) + _BASH_BODY


def zsh(commands: Sequence[Description]) -> str:
    """The script for zsh: put it on $fpath as _composer, or source it after compinit."""
    lines = ["#compdef composer", "# zsh completion for composer: source <(composer completion zsh)"]
    lines += ["typeset -gA _composer_flags _composer_valued _composer_choices _composer_kind"]
    lines += _bash_tables(commands)
    described = [f"{name}:{text}" for name, text in _words(commands).items()]
    lines.append("_composer_words=(" + " ".join(_quote(item.replace("'", "")) for item in described) + ")")
    return "\n".join(lines) + _ZSH_BODY


def fish(commands: Sequence[Description]) -> str:
    """The script for fish."""
    lines = [
        "# fish completion for composer: composer completion fish | source",
        "complete -c composer -f",
        "function __composer_names",
        "    command composer __complete $argv 2>/dev/null",
        "end",
    ]
    top = "complete -c composer -n __fish_use_subcommand"
    for option in OPTIONS:
        value = _fish_value(option.value, option.choices)
        lines.append(f"{top}{_fish_names(option.flags)}{value} -d {_quote(option.help)}")
    lines += [f"{top} -a {word} -d {_quote(text)}" for word, text in _words(commands).items()]
    for command in commands:
        first, _, second = command.name.partition(" ")
        condition = f"__fish_seen_subcommand_from {first}"
        if second:
            only = _quote(f"{condition}; and test (count (commandline -opc)) -eq 2")
            lines.append(f"complete -c composer -n {only} -a {second} -d {_quote(command.help)}")
            condition += f"; and __fish_seen_subcommand_from {second}"
        start = f"complete -c composer -n {_quote(condition)}"
        for flag in command.flags:
            value = _fish_value(flag.value, flag.choices)
            lines.append(f"{start}{_fish_names(flag.names)}{value} -d {_quote(flag.help)}")
        if command.kind:
            lines.append(f"{start} -a '(__composer_names {command.kind})'")
        elif command.arguments:
            lines.append(f"{start} -F")
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[Sequence[Description]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _words(commands: Sequence[Description]) -> dict[str, str]:
    """First words and their help; a group word (`image`) stands once."""
    words: dict[str, str] = {}
    for command in commands:
        first, _, second = command.name.partition(" ")
        words.setdefault(first, f"Commands of {first}" if second else command.help)
    return words


def _bash_tables(commands: Sequence[Description]) -> list[str]:
    lines = []
    global_flags = [flag for option in OPTIONS for flag in option.flags]
    valued = [flag for option in OPTIONS if option.value for flag in option.flags]
    lines.append(_entry("flags", "", [*global_flags, "--help", "--version"]))
    lines.append(_entry("valued", "", valued))
    for option in OPTIONS:
        lines += [
            _entry("choices", f"{GLOBAL} {flag}", option.choices) for flag in option.flags if option.choices
        ]
    groups: dict[str, list[str]] = {"": list(_words(commands))}
    for command in commands:
        first, _, second = command.name.partition(" ")
        if second:
            groups.setdefault(first, []).append(second)
        lines.append(_entry("flags", command.name, [name for flag in command.flags for name in flag.names]))
        lines.append(_entry("valued", command.name, _valued(command.flags)))
        for flag in command.flags:
            if flag.choices:
                lines += [_entry("choices", f"{command.name} {name}", flag.choices) for name in flag.names]
        lines.append(
            _entry("kind", command.name, [command.kind or ("files" if command.arguments else "none")])
        )
    for first, words in groups.items():
        lines.append(_entry("choices", f"{first or GLOBAL} words", words))
    return lines


def _valued(flags: Sequence[Flag]) -> list[str]:
    return [name for flag in flags if flag.value for name in flag.names]


def _entry(table: str, key: str, words: Sequence[str]) -> str:
    return f"_composer_{table}[{_key(key)}]={_quote(' '.join(words))}"


def _key(key: str) -> str:
    """A key of an associative array; zsh takes quotes in subscripts literally, bash needs none of them."""
    return (key or GLOBAL).replace(" ", "+")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_value(value: str, choices: Sequence[str]) -> str:
    if choices:
        return f" -x -a {_quote(' '.join(choices))}"
    return " -r" if value else ""


def _fish_names(names: Sequence[str]) -> str:
    return "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in names)


_FIND = r"""
    local command="" key="_global" word skip="" started=""
    globals=()
    for word in "${before[@]}"; do
        if [[ -n $skip ]]; then
            [[ $key == _global ]] && globals+=("$word")
            skip=""
            continue
        fi
        if [[ $word == -* ]]; then
            [[ $key == _global ]] && globals+=("$word")
            [[ " ${_composer_valued[$key]} " == *" $word "* ]] && skip=1
            continue
        fi
        if [[ -z $command ]]; then
            command=$word
            key=$word
        elif [[ -n ${_composer_choices[$command+words]} && $key == "$command" ]]; then
            key="$command+$word"
        else
            started=1
        fi
    done
"""

_BASH_BODY = (
    r"""
_composer() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local -a before=("${COMP_WORDS[@]:1:COMP_CWORD-1}") globals"""
    + _FIND
    + r"""
    COMPREPLY=()
    if [[ -n $skip ]]; then
        if [[ -n ${_composer_choices[$key+$prev]} ]]; then
            COMPREPLY=($(compgen -W "${_composer_choices[$key+$prev]}" -- "$cur"))
        else
            compopt -o default
        fi
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "${_composer_flags[$key]}" -- "$cur"))
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "${_composer_choices[_global+words]}" -- "$cur"))
    elif [[ -n ${_composer_choices[$key+words]} ]]; then
        COMPREPLY=($(compgen -W "${_composer_choices[$key+words]}" -- "$cur"))
    else
        case ${_composer_kind[$key]} in
            services|images|projects)
                local names
                names=$(command composer "${globals[@]}" __complete "${_composer_kind[$key]}" 2>/dev/null)
                COMPREPLY=($(compgen -W "$names" -- "$cur")) ;;
            files) compopt -o default ;;
        esac
    fi
}
complete -F _composer composer
"""
)

_ZSH_BODY = (
    r"""
_composer() {
    local cur=${words[CURRENT]} prev=${words[CURRENT-1]}
    local -a before globals names
    before=("${(@)words[2,CURRENT-1]}")"""
    + _FIND
    + r"""
    if [[ -n $skip ]]; then
        if [[ -n ${_composer_choices[$key+$prev]} ]]; then
            compadd -- ${=_composer_choices[$key+$prev]}
        else
            _files
        fi
    elif [[ $cur == -* ]]; then
        compadd -- ${=_composer_flags[$key]}
    elif [[ -z $command ]]; then
        _describe command _composer_words
    elif [[ -n ${_composer_choices[$key+words]} ]]; then
        compadd -- ${=_composer_choices[$key+words]}
    else
        case ${_composer_kind[$key]} in
            services|images|projects)
                names=$(command composer "${globals[@]}" __complete ${_composer_kind[$key]} 2>/dev/null)
                names=(${(f)names})
                compadd -- $names ;;
            files) _files ;;
        esac
    fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _composer "$@"; else compdef _composer composer; fi
"""
)
