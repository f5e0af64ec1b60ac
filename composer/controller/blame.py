"""Which element of a Compose file a failure is about: what an operation and an engine say, as a YAML path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from composer.controller import plan as ops
from composer.errors import CannotInvokeError, CommandNotFoundError

if TYPE_CHECKING:
    from composer.controller.plan import Operation
    from composer.errors import ComposerError
    from composer.spec.model import Project

_ATTRIBUTES: Final = {
    "log": "logging",
    "process.args": "command",
    "process.cwd": "working_dir",
    "process.env": "environment",
    "process.groups": "group_add",
    "process.oom_score_adj": "oom_score_adj",
    "process.rlimits": "ulimits",
    "process.user": "user",
}
"""Parts of an `engine.ContainerConfig` whose attribute has another name; others are called the same."""

_MADE_FROM_THE_FILE = (ops.PullImage, ops.BuildImage, ops.CreateContainer, ops.StartContainer, ops.RunHook)
"""What fails because of what a service says; that a container cannot be stopped is no fault of the file."""


def blamed(error: ComposerError, operation: Operation, project: Project | None) -> str:
    """The path of the element that made *operation* fail with *error*, or of the nearest one that is known.

    Empty when nothing in the file is to blame.
    """
    if error.path:
        return error.path
    if isinstance(operation, ops.CreateNetwork):
        return f"networks.{operation.network}"
    if isinstance(operation, ops.CreateVolume):
        return f"volumes.{operation.volume}"
    if not operation.service or not isinstance(operation, _MADE_FROM_THE_FILE):
        return ""
    path = f"services.{operation.service}"
    attribute = _attribute(error, operation, project)
    written = project is not None and f"{path}.{attribute}" in project.locations
    return f"{path}.{attribute}" if written else path


def _attribute(error: ComposerError, operation: Operation, project: Project | None) -> str:
    if isinstance(operation, ops.PullImage):
        return "image"
    if isinstance(operation, ops.BuildImage):
        return "build"
    about = getattr(error, "about", "")
    if not about and isinstance(error, (CommandNotFoundError, CannotInvokeError)):
        about = "process.args"
    if about == "process.args" and project is not None:
        service = project.services.get(operation.service)
        if service is not None and service.entrypoint:
            return "entrypoint"
    return _ATTRIBUTES.get(about, about)
