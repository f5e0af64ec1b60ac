"""Pull and push for callers in an event loop: a thread does the work, cancellation breaks its sockets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from composer.events import Event, Report
    from composer.images.store import Image, Store

T = TypeVar("T")


async def pull(store: Store, name: str, *, platform: str = "", report: Report) -> Image:
    """See `composer.images.pull.pull`; *report* is called in the event loop's thread."""
    from composer.images import pull as module

    done = await _in_thread(module.pull, report, store, name, platform=platform)
    return done.image


async def push(store: Store, name: str, *, report: Report) -> str:
    """See `composer.images.push.push`; returns the digest."""
    from composer.images import push as module

    done = await _in_thread(module.push, report, store, name)
    return done.digest


async def _in_thread(work: Callable[..., T], report: Report, *args: Any, **options: Any) -> T:
    import anyio
    from anyio import from_thread, to_thread

    from composer.registry.transport import Abort

    abort = Abort()
    token = anyio.lowlevel.current_token()

    def relay(event: Event) -> None:
        if not abort.is_set():
            from_thread.run_sync(report, event, token=token)

    try:
        job = partial(work, *args, report=relay, abort=abort, **options)
        return await to_thread.run_sync(job, abandon_on_cancel=True)
    finally:
        # After a regular end nothing is left to break; after a cancellation everything is.
        abort.set()
