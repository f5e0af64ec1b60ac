"""Watching a project's source files and carrying out what its rules say, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from composer.cli.execute import Execution
from composer.cli.operate import operate
from composer.cli.render import make_renderer
from composer.cli.snapshot import PREFIX, containers
from composer.cli.watch_rules import (
    SYNCING,
    Rule,
    Tree,
    Work,
    copy_into,
    covered_by_bind,
    files_below,
    rules_of,
    work_for,
)
from composer.errors import ComposerError
from composer.state.files import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.cli.context import Context
    from composer.cli.snapshot import Container
    from composer.spec import LoadedProject


class _Job(NamedTuple):
    """What stays the same from batch to batch."""

    context: Context
    loaded: LoadedProject
    quiet: bool
    prune: bool

    def operate(self, op: str, options: Mapping[str, Any]) -> None:
        """An operation whose progress is plain lines: logs may come between."""
        operate(
            self.context, op, options, loaded=self.loaded, renderer=make_renderer(self.context, live=False)
        )

    def running(self, service: str) -> list[Container]:
        """The containers of a service that run."""
        return [
            container
            for container in containers(self.context.paths, self.loaded.name)
            if container.service == service and container.state.get("pid") and not container.oneoff
        ]


def watch_project(
    context: Context,
    loaded: LoadedProject,
    services: Sequence[str],
    *,
    up: bool = False,
    quiet: bool = False,
    prune: bool = True,
) -> None:
    """Watch until interrupted.

    Args:
        context: Options, streams.
        loaded: The project.
        services: Only these; empty: all.
        up: Build and start first.
        quiet: Do not show the steps of builds.
        prune: Remove images that a rebuild has replaced.

    Raises:
        SpecError: No service has rules, or one cannot work.
        ConflictError: The project is watched already.
    """
    job = _Job(context, loaded, quiet, prune)
    rules = []
    for rule in rules_of(loaded.document, services):
        if rule.action in SYNCING and covered_by_bind(loaded.document["services"][rule.service], rule):
            context.warn(f"{rule.path} is not synced: a bind mount of {rule.service} shows it already")
        else:
            rules.append(rule)
    lock = context.paths.project_run(loaded.name) / "watch.lock"
    busy = f"composer watch is already watching project {loaded.name}"
    with locked(lock, blocking=False, busy=busy):
        if up:
            options = {"services": list(services), "build": "always", "quiet_build": quiet}
            operate(context, "up", options, loaded=loaded, title="up")
        tree = Tree(rules)
        try:
            for rule in rules:
                if rule.initial and rule.action in SYNCING:
                    _carry_out(job, work_for([rule], files_below(rule)))
            context.stderr.write("Watch enabled\n")
            context.stderr.flush()
            while True:
                changed = tree.batch()
                _announce(context, rules, changed)
                _carry_out(job, work_for(rules, changed))
        finally:
            tree.close()


def _announce(context: Context, rules: Sequence[Rule], changed: set[str]) -> None:
    for service in sorted({rule.service for rule in rules if any(map(rule.relative, changed))}):
        context.stderr.write(f'Syncing service "{service}" after {len(changed)} changes were detected\n')
    context.stderr.flush()


def _carry_out(job: _Job, work: Work) -> None:
    """One batch: rebuild, copy, restart, run commands. A failure is told, and watching goes on."""
    try:
        if work.rebuild:
            _rebuild(job, sorted(work.rebuild))
        for service, copies in work.copies.items():
            for container in job.running(service):
                copy_into(container.state["pid"], copies)
        if work.restart:
            job.operate("restart", {"services": sorted(work.restart), "no_deps": True})
        for service, hook in work.hooks:
            _execute(job, service, hook)
    except ComposerError as error:
        if error.message:
            job.context.stderr.write(f"composer: {error}\n")


def _rebuild(job: _Job, services: list[str]) -> None:
    options = {
        "services": services,
        "build": "always",
        "recreate": "force",
        "no_deps": True,
        "quiet_build": job.quiet,
    }
    job.operate("up", options)
    if job.prune:
        _prune(job)


def _execute(job: _Job, service: str, hook: Mapping[str, Any]) -> None:
    """The command of sync+exec, in each replica."""
    process: dict[str, Any] = {"args": list(hook["command"])}
    if hook.get("user"):
        process["user"] = hook["user"]
    if hook.get("working_dir"):
        process["cwd"] = hook["working_dir"]
    environment = [f"{key}={value or ''}" for key, value in (hook.get("environment") or {}).items()]
    privileged = bool(hook.get("privileged"))
    for container in job.running(service):
        execution = Execution(job.context.paths, container.id, process, environment, privileged=privileged)
        if code := execution.run(terminal=False):
            job.context.warn(f"{' '.join(process['args'])} in {container.name} exited with code {code}")


def _prune(job: _Job) -> None:
    """Remove the nameless images that rebuilding this project has left."""
    from composer.images.remove import prune
    from composer.images.store import Store

    project = job.loaded.name
    prune(
        Store(job.context.paths),
        wanted=lambda image: image.config.labels.get(PREFIX + "project") == project,
    )
