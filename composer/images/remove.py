"""Taking names and images away, and sweeping up what nothing refers to any more."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ConflictError, NotFoundError
from composer.images import reference
from composer.images.usage import containers, needed_blobs, needed_chains

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from composer.images.store import Image, Store

_ORPHAN_SECONDS = 3600.0


class Removal(NamedTuple):
    """One thing that `remove_image` or `prune` did: an `untagged` name or a `deleted` id."""

    action: str
    name: str


class Pruned(NamedTuple):
    """What `prune` did.

    Attributes:
        removals: Names and ids.
        reclaimed: Bytes of files that are gone.
    """

    removals: tuple[Removal, ...]
    reclaimed: int


def remove_image(store: Store, name: str, *, force: bool = False, sweep: bool = True) -> tuple[Removal, ...]:
    """Take *name* away; with the last name, or for an id, remove the image and the layers it alone needs.

    Args:
        store: The store.
        name: A name, or an id (all its names go then).
        force: Also when several names would go, or a stopped container was made from it.
        sweep: Remove its layers at once.

    Raises:
        NotFoundError: There is no such image.
        ConflictError: A container needs it, or *name* is an id and several repositories name the image.
    """
    image = store.get(name)
    canonical = _matching_name(store, image, name)
    tags = [known for known in image.updated if "@" not in known.rpartition("/")[2]]
    if canonical and len(tags) > 1 and canonical in tags:
        _untag(store, canonical)
        return (Removal("untagged", reference.parse(canonical).familiar),)
    repositories = {reference.parse(known).repository for known in image.updated}
    if not canonical and len(repositories) > 1 and not force:
        raise ConflictError(
            f"image {image.short_id} has names in several repositories: {', '.join(image.repo_tags)}",
            hint="remove the names one by one, or use --force",
        )
    _check_containers(store, image, force=force)
    removals = [Removal("untagged", known) for known in (*image.repo_tags, *image.repo_digests)]
    _delete(store, image)
    if sweep:
        sweep_unneeded(store, blocking=False)
    return (*removals, Removal("deleted", image.id))


def prune(
    store: Store,
    *,
    everything: bool = False,
    before: float | None = None,
    wanted: Callable[[Image], bool] | None = None,
    waiting: Callable[[], None] | None = None,
) -> Pruned:
    """Remove images without a name (or, with *everything*, all that no container uses), then sweep up.

    Args:
        store: The store.
        everything: Named images too; those that an `up` or a build has just resolved are waited for.
        before: Only images that were added before this moment.
        wanted: Only images for which this is true.
        waiting: See `sweep_unneeded`.
    """
    with _alone(store, waiting):
        # Who resolves an image holds `using()` until a container refers to it: what is unused now stays so.
        used = {use.image_id for use in containers(store.paths)}
        removals: list[Removal] = []
        for image in store.images():
            if image.id in used or (image.updated and not everything):
                continue
            if (before is not None and image.added >= before) or (wanted is not None and not wanted(image)):
                continue
            removals += [Removal("untagged", name) for name in (*image.repo_tags, *image.repo_digests)]
            removals.append(Removal("deleted", image.id))
            _delete(store, image)
        return Pruned(tuple(removals), _sweep(store))


def sweep_unneeded(store: Store, *, blocking: bool = True, waiting: Callable[[], None] | None = None) -> int:
    """Remove layers and blobs that nothing refers to, and unfinished work of dead processes.

    Args:
        store: The store.
        blocking: Wait for who pulls or builds; else nothing happens meanwhile, and the next sweep finds it.
        waiting: Called when that takes a wait.

    Returns:
        Bytes that were freed.
    """
    try:
        with _alone(store, waiting, blocking=blocking):
            return _sweep(store)
    except ConflictError:
        return 0


@contextmanager
def _alone(store: Store, waiting: Callable[[], None] | None, *, blocking: bool = True) -> Iterator[None]:
    """`Store.alone`, with word of it when that takes a wait.

    Raises:
        ConflictError: Somebody pulls, builds or starts containers, and *blocking* is false.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(store.alone(blocking=False))
        except ConflictError:
            if not blocking:
                raise
            if waiting is not None:
                waiting()
            stack.enter_context(store.alone())
        yield


def _sweep(store: Store) -> int:
    """See `sweep_unneeded`; the caller is alone."""
    freed = 0
    store.sweep()
    chains = needed_chains(store)
    for layer in store.directory.all():
        if layer.chain_id not in chains:
            store.directory.remove(layer.chain_id)
            freed += layer.size
    blobs = needed_blobs(store, chains)
    for digest, size in store.blobs.all():
        if digest not in blobs:
            store.blobs.remove(digest)
            freed += size
    freed += _sweep_partial(store)
    _sweep_locks(store)
    _forget_blobs(store)
    return freed


def _sweep_partial(store: Store) -> int:
    """Remove downloads that nobody has continued for an hour."""
    freed = 0
    directory = store.paths.root / "downloads"
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return 0
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if time.time() - status.st_mtime > _ORPHAN_SECONDS:
            os.unlink(entry.path)
            freed += status.st_size
    return freed


def _sweep_locks(store: Store) -> None:
    """Remove the lock files of layers and build steps: only who holds `using()` as well ever holds them."""
    for kind in ("layers", "build"):
        with suppress(FileNotFoundError):
            for entry in os.scandir(store.paths.root / "locks" / kind):
                os.unlink(entry.path)


def _forget_blobs(store: Store) -> None:
    """Drop the memory of compressed forms of layers that are gone and whose blob is gone."""
    known = {layer.diff_id for layer in store.directory.all()}
    connection = store.database.connection()
    gone = [
        (row[0],)
        for row in connection.execute("SELECT DISTINCT diff_id FROM layer_blobs")
        if row[0] not in known
    ]
    if gone:
        with store.database.transaction() as writing:
            writing.executemany("DELETE FROM layer_blobs WHERE diff_id = ?", gone)


def _matching_name(store: Store, image: Image, name: str) -> str:
    """The canonical name by which *name* found *image*, or empty when it was an id."""
    bare = name.removeprefix("sha256:")
    if bare != name or image.id.removeprefix("sha256:") == bare:
        return ""
    parsed = reference.parse(name)
    canonical = f"{parsed.repository}@{parsed.digest}" if parsed.digest else parsed.canonical
    row = store.database.connection().execute(
        "SELECT 1 FROM image_names WHERE name = ? AND image = ?", (canonical, image.id)
    )
    return canonical if row.fetchone() else ""


def _check_containers(store: Store, image: Image, *, force: bool) -> None:
    for use in containers(store.paths):
        if use.image_id != image.id:
            continue
        if use.active:
            raise ConflictError(
                f"container {use.name} is running on image {image.short_id}", hint="stop the container first"
            )
        if not force:
            raise ConflictError(
                f"container {use.name} was made from image {image.short_id}",
                hint="remove the container first, or use --force",
            )


def _untag(store: Store, canonical: str) -> None:
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM image_names WHERE name = ?", (canonical,))


def _delete(store: Store, image: Image) -> None:
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM image_names WHERE image = ?", (image.id,))
        found = connection.execute("DELETE FROM images WHERE id = ?", (image.id,))
        if not found.rowcount:
            raise NotFoundError(f"image {image.short_id} is already gone")
