"""Pulls an image: documents first, then layers in parallel, each unpacked and verified while it arrives.

A transfer that breaks is continued where it stopped, also by the next command after a kill: what has come
so far is in `downloads/<digest>`.
"""

from __future__ import annotations

import fcntl
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ImageError
from composer.events import Event, Report, discard
from composer.images import reference
from composer.images.apply import file_chunks
from composer.images.config import DOCUMENT_LIMIT, ImageConfig
from composer.images.intake import DigestError, known_layer, take_layer
from composer.images.layers import chain_id, chain_ids
from composer.images.manifests import ACCEPT, Index, Manifest, parse_manifest
from composer.images.platforms import normalise, rank, wanted_platform
from composer.images.store import digest_of
from composer.images.temporary import temporary_path
from composer.registry.client import Registry
from composer.registry.transport import Abort, Aborted, TransportError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from composer.images.manifests import Descriptor
    from composer.images.platforms import Platform
    from composer.images.store import Image, Store
    from composer.registry.credentials import Keychain
    from composer.registry.settings import Settings

PARALLEL = 4
_REPORT_SECONDS = 0.1
_PROGRESS = 1 << 20


class Pulled(NamedTuple):
    """What a pull did.

    Attributes:
        image: The image.
        digest: What its name stands for at the registry: digest of the index or manifest.
        changed: Whether this store did not have it under this name.
    """

    image: Image
    digest: str
    changed: bool


def pull(
    store: Store,
    name: str,
    *,
    platform: str = "",
    settings: Settings | None = None,
    keychain: Keychain | None = None,
    report: Report = discard,
    abort: Abort | None = None,
    parallel: int = PARALLEL,
) -> Pulled:
    """Bring the image that *name* means at its registry into the store. Blocks; threads of its own.

    Args:
        store: Where it goes.
        name: Image name; its digest, if it has one, decides.
        platform: `os/arch[/variant]`; default DOCKER_DEFAULT_PLATFORM, then this machine.
        settings: How registries are reached; default this machine's.
        keychain: Credentials; default Docker's.
        report: Progress, from several threads.
        abort: Ends it from another thread.
        parallel: Layers at once.

    Raises:
        NotFoundError: The registry does not have it.
        RegistryError: The registry refuses, or cannot be reached.
        ImageError: What it sent is damaged or hostile, or there is none for the platform.
    """
    parsed = reference.parse(name)
    if parsed.path == "library/scratch" and parsed.domain == reference.DEFAULT_DOMAIN:
        raise ImageError("scratch is a reserved name, not an image")
    if parsed.is_moving:
        report(
            Event(
                "warning",
                parsed.familiar,
                text=f"{parsed.familiar_repository}:latest is a moving target; composer lock pins digests",
            )
        )
    ending = abort or Abort()
    registry = Registry(
        parsed.domain,
        settings=settings,
        keychain=keychain,
        abort=ending,
        notice=lambda text: report(Event("warning", parsed.familiar, text=text)),
    )
    report(Event("image", parsed.familiar, "Pulling", "working"))
    try:
        with store.using():
            done = _Pull(store, parsed, wanted_platform(platform), registry, report, ending, parallel).run()
    except BaseException as error:
        report(Event("image", parsed.familiar, "Error", "error", text=str(error)))
        raise
    finally:
        registry.close()
    report(Event("image", parsed.familiar, "Pulled", "done", id=done.image.id))
    return done


class _Pull:
    def __init__(
        self,
        store: Store,
        name: reference.Reference,
        wanted: Platform,
        registry: Registry,
        report: Report,
        abort: Abort,
        parallel: int,
    ) -> None:
        self._store = store
        self._name = name
        self._wanted = wanted
        self._registry = registry
        self._report = report
        self._abort = abort
        self._parallel = parallel

    def run(self) -> Pulled:
        name = self._name
        known = self._up_to_date()
        if known is not None:
            return known
        self._store.sweep()
        data, top = self._document(name.digest or name.tag or "latest")
        top_digest = digest_of(data) if not name.digest else name.digest
        if isinstance(top, Index):
            try:
                entry = top.select(self._wanted)
            except ImageError as error:
                raise ImageError(f"{name.familiar}: {error.message}", hint=error.hint) from error
            data, manifest = self._document(entry.digest)
        else:
            manifest = top
        if isinstance(manifest, Index):
            raise ImageError(f"{name.familiar}: an index inside an index")
        config = self._config(manifest)
        parsed = ImageConfig.from_bytes(config)
        self._check(parsed, manifest)
        self._layers(manifest, parsed)
        names = [name.canonical] if not name.digest else []
        image = self._store.put_image(config, names=names, manifest=data)
        self._store.add_digest(image.id, name.repository, top_digest)
        return Pulled(self._store.image(image.id), top_digest, changed=True)

    def _up_to_date(self) -> Pulled | None:
        """Compare what the tag stands for with what we have; a HEAD costs next to nothing."""
        name = self._name
        digest = name.digest or self._registry.manifest_digest(name.path, name.tag or "latest", ACCEPT)
        if not reference.is_digest(digest):
            return None
        image = self._store.resolve(f"{name.repository}@{digest}")
        if image is None or not self._fits(image.config):
            return None
        changed = False
        if not name.digest and name.canonical not in image.updated:
            changed = True
        if not name.digest:
            self._store.tag(image, name.canonical)
        return Pulled(self._store.image(image.id), digest, changed)

    def _fits(self, config: ImageConfig) -> bool:
        offered = normalise(config.os, config.architecture, config.variant)
        return rank(offered, self._wanted) is not None

    def _document(self, wanted: str) -> tuple[bytes, Manifest | Index]:
        found = self._registry.manifest(self._name.path, wanted, ACCEPT)
        data = found.data
        for expected in {wanted if ":" in wanted else "", found.digest} - {""}:
            if expected.startswith("sha256:") and digest_of(data) != expected:
                raise DigestError(
                    f"{self._name.domain} sent a manifest with digest {digest_of(data)} for {expected}"
                )
        return data, parse_manifest(data, found.media_type)

    def _config(self, manifest: Manifest) -> bytes:
        digest = manifest.config.digest
        if self._store.blobs.has(digest):
            return self._store.blobs.read(digest)
        for last in (False, True):
            response, _ = self._registry.blob(self._name.path, digest)
            data = response.read(DOCUMENT_LIMIT)
            if digest_of(data) == digest:
                return data
            if last:
                raise DigestError(f"the configuration arrived with digest {digest_of(data)}, not {digest}")
        raise AssertionError

    def _check(self, config: ImageConfig, manifest: Manifest) -> None:
        if len(config.diff_ids) != len(manifest.layers):
            raise ImageError(
                f"the manifest has {len(manifest.layers)} layers, the configuration {len(config.diff_ids)}"
            )
        if any(layer.is_foreign for layer in manifest.layers):
            raise ImageError("the image has layers that registries do not hold (Windows)")
        if not self._fits(config):
            text = f"{self._name.familiar} is for {config.platform}, not for {self._wanted}"
            self._report(Event("warning", self._name.familiar, text=text))

    def _layers(self, manifest: Manifest, config: ImageConfig) -> None:
        """All layers; a layer waits for the one below only to be made visible."""
        chains = chain_ids(config.diff_ids)
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="composer-pull") as pool:
            futures: list[Future[str]] = []
            for index, blob in enumerate(manifest.layers):
                below = futures[-1] if futures else None
                parent = chains[index - 1] if index else ""
                futures.append(pool.submit(self._layer, blob, config.diff_ids[index], parent, below))
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._abort.set()
                for future in futures:
                    future.cancel()
                raise

    def _layer(self, blob: Descriptor, diff_id: str, parent: str, below: Future[str] | None) -> str:
        chain = chain_id(parent, diff_id)
        short = blob.digest.partition(":")[2][:12]
        if known_layer(self._store, parent, diff_id) is not None:
            self._event(short, "Already exists", "done", blob.size, blob.size)
            return chain
        self._event(short, "Pulling fs layer", "working", 0, blob.size)
        with self._store.working_on(chain):
            if known_layer(self._store, parent, diff_id) is None:
                self._take(blob, diff_id, parent, below, short)
        self._event(short, "Pull complete", "done", blob.size, blob.size)
        return chain

    def _take(
        self, blob: Descriptor, diff_id: str, parent: str, below: Future[str] | None, short: str
    ) -> None:
        def ready() -> str:
            if below is not None and below.exception() is not None:
                raise Aborted("a layer below could not be pulled")
            return parent

        repository = self._name.repository
        if self._store.blobs.has(blob.digest):
            chunks = file_chunks(self._store.blobs.path(blob.digest))
            try:
                take_layer(self._store, chunks, blob, diff_id, ready, repository=repository)
            except DigestError:
                self._store.blobs.remove(blob.digest)  # damaged on disk: have it sent again
            else:
                return
        for last in (False, True):
            with _partial(self._store, blob.digest) as path:
                try:
                    # Closed at once: a traceback would keep the file open, and a full disk full.
                    with closing(self._download(blob, path, short)) as chunks:
                        take_layer(
                            self._store, chunks, blob, diff_id, ready, repository=repository, kept=path
                        )
                except ImageError as error:
                    path.unlink(missing_ok=True)
                    if last or not isinstance(error, DigestError):
                        raise
                else:
                    return

    def _download(self, blob: Descriptor, path: Path, short: str) -> Generator[bytes, None, None]:
        """The blob's bytes: what an earlier attempt left, then the rest; written to *path* on the way."""
        registry, settings = self._registry, self._registry.settings
        shown = 0.0
        with open(path, "r+b", buffering=0) as file:
            position = 0
            while chunk := file.read(min(_PROGRESS, max(blob.size - position, 0))):
                position += len(chunk)
                yield chunk
            file.truncate(position)
            failures, mark, pause = 0, position, settings.pause
            while position < blob.size:
                try:
                    response, start = registry.blob(self._name.path, blob.digest, start=position)
                    skip = position - start
                    for received in response.chunks():
                        piece = received
                        if skip:
                            skip, piece = max(0, skip - len(piece)), piece[skip:]
                            if not piece:
                                continue
                        file.write(piece)
                        position += len(piece)
                        now = time.monotonic()
                        if now - shown > _REPORT_SECONDS:
                            shown = now
                            self._event(short, "Downloading", "working", position, blob.size)
                        yield piece
                    if position < blob.size:
                        raise TransportError(f"{registry.domain} ended {blob.digest[:19]} early")  # noqa: TRY301
                except TransportError:
                    self._abort.check()
                    if position - mark >= _PROGRESS:
                        failures, pause = 0, settings.pause
                    mark = position
                    failures += 1
                    if failures >= settings.tries:
                        raise
                    self._event(short, f"Retrying in {pause:.0f} s", "working", position, blob.size)
                    self._abort.wait(pause)
                    pause *= 3

    def _event(self, layer: str, action: str, status: str, current: int, total: int) -> None:
        self._report(
            Event(
                "layer",
                layer,
                action,
                "done" if status == "done" else "working",
                parent=self._name.familiar,
                current=current,
                total=total,
            )
        )


@contextmanager
def _partial(store: Store, digest: str) -> Iterator[Path]:
    """A file to download to, ours alone: the one that is continued later, or another if that is taken."""
    directory = store.paths.root / "downloads"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / digest.replace(":", "-")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            path = temporary_path(store.directory.temporary)
            path.touch(mode=0o600)
        else:
            if not path.exists():  # its last owner finished between our open and our lock
                path.touch(mode=0o600)
        yield path
    finally:
        with suppress(FileNotFoundError):
            if not path.stat().st_size:  # nothing that the next attempt could go on with
                path.unlink()
        os.close(fd)
