"""The table of commands: words a user types, the module that carries them out, one line of help.

Everything that must know all commands reads this table: dispatch, help, shell completion and the generated
reference. Adding a command means adding a module below `composer.cli.commands` and a line here; it has
`HELP`, `add_arguments` and `run`, and with `NEEDS_AGENT` an agent is started before arguments are looked at.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One row.

    Attributes:
        module: Name below `composer.cli.commands`.
        help: One line, imperative, without a full stop.
        group: Heading in `composer --help`.
        hidden: Left out of help and completion.
    """

    module: str
    help: str
    group: str = "project"
    hidden: bool = False


COMMANDS: dict[str, Command] = {
    "attach": Command("attach", "Connect to a running service's input and output"),
    "build": Command("build", "Build or rebuild the images of services"),
    "commit": Command("commit", "Make an image from a service container's changes"),
    "completion": Command("completion", "Print a shell completion script", "tool"),
    "config": Command("config", "Check the Compose files and print what they mean"),
    "convert": Command("config", "Another word for config", hidden=True),
    "cp": Command("cp", "Copy files between a service container and this machine"),
    "create": Command("create", "Create containers without starting them"),
    "down": Command("down", "Stop and remove containers and networks"),
    "events": Command("events", "Print what happens to the project's containers"),
    "exec": Command("exec", "Run a command in a running container"),
    "export": Command("export", "Write a service container's file system as a tar archive"),
    "generate systemd": Command("generate_systemd", "Print a systemd unit for the project", "tool"),
    "graph": Command("graph", "Print the dependency graph of services"),
    "image build": Command("image_build", "Build an image from a Dockerfile", "image"),
    "image history": Command("image_history", "Show the layers of an image", "image"),
    "image import": Command("image_import", "Make an image from a root file system", "image"),
    "image inspect": Command("image_inspect", "Print everything known about images", "image"),
    "image load": Command("image_load", "Load images from an archive", "image"),
    "image ls": Command("image_ls", "List the images of this machine", "image"),
    "image prune": Command("image_prune", "Remove unused images", "image"),
    "image pull": Command("image_pull", "Download an image from a registry", "image"),
    "image push": Command("image_push", "Upload an image to a registry", "image"),
    "image rm": Command("image_rm", "Remove images", "image"),
    "image save": Command("image_save", "Write images to an archive", "image"),
    "image tag": Command("image_tag", "Give an image another name", "image"),
    "images": Command("images", "List the images that the project's containers use"),
    "kill": Command("kill", "Send a signal to service containers"),
    "lock": Command("lock", "Write down the digests of the project's images"),
    "login": Command("login", "Log in to a registry", "image"),
    "logout": Command("logout", "Log out of a registry", "image"),
    "logs": Command("logs", "Print the output of containers"),
    "ls": Command("ls", "List the projects on this machine"),
    "pause": Command("pause", "Freeze the processes of services"),
    "plan": Command("plan", "Show what up would change, and why"),
    "port": Command("port", "Print the public address of a published port"),
    "ps": Command("ps", "List containers"),
    "pull": Command("pull", "Download the images of services"),
    "push": Command("push", "Upload the images of services"),
    "restart": Command("restart", "Restart service containers"),
    "rm": Command("rm", "Remove stopped service containers"),
    "run": Command("run", "Run a one-off command on a service"),
    "scale": Command("scale", "Set the number of containers of services"),
    "schema": Command("schema", "Print the JSON Schema of Compose files", "tool"),
    "start": Command("start", "Start existing containers"),
    "stats": Command("stats", "Show how much CPU, memory and traffic containers use"),
    "stop": Command("stop", "Stop containers without removing them"),
    "system check": Command("system_check", "Say what this machine can and cannot do", "tool"),
    "system df": Command("system_df", "Show how much disk space is used", "tool"),
    "system restore": Command(
        "system_restore", "After a reboot, start what restart policies promise", "tool"
    ),
    "system prune": Command("system_prune", "Remove what is unused", "tool"),
    "top": Command("top", "Show the processes of services"),
    "unpause": Command("unpause", "Thaw the processes of services"),
    "up": Command("up", "Create and start containers"),
    "version": Command("version", "Print the version", "tool"),
    "volumes": Command("volumes", "List the project's volumes"),
    "wait": Command("wait", "Wait until containers of services have ended"),
    "watch": Command("watch", "Update containers when source files change"),
    "__complete": Command("complete_words", "Print completions for a command line", "tool", hidden=True),
}

GROUPS = {"project": "Project commands", "image": "Images and registries", "tool": "Other commands"}


def available(command: Command) -> bool:
    """Whether the command's module is there; a row may be agreed before its module lands."""
    from importlib.util import find_spec

    return find_spec(f"composer.cli.commands.{command.module}") is not None


def split(words: list[str]) -> tuple[str, list[str]]:
    """The command that *words* begin with (`image ls` is one command) and the rest.

    A group alone (`image`) is returned as it is, and so is a word that is in no row.
    """
    if len(words) > 1 and (pair := f"{words[0]} {words[1]}") in COMMANDS:
        return pair, words[2:]
    return words[0], words[1:]


def members(group: str) -> list[str]:
    """The commands below a group word: `image` gives `image build`, ..."""
    return [name for name in COMMANDS if name.startswith(f"{group} ")]
