"""The image store: names, images, layers, blobs; safe for any number of processes at once.

    lib/composer.db          names -> image, image -> manifest, diff ID <-> compressed blobs, protections
    lib/blobs/sha256/<hex>   manifests, configurations, and compressed layers exactly as they were received
    lib/layers/<chain>/diff  unpacked layers (see `layers`)
    lib/tmp/                 whatever is unfinished, by pid

Order that makes it safe: blobs, then layers, then one transaction that makes the image visible. Whoever
creates layers or relies on them before they are referred to holds `using()` (a shared lock); removing
layers takes the same lock alone. What refers to layers: images, `protect`ed chains (build cache), and the
containers' configurations on disk.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO

from composer.errors import ConflictError, ImageError, NotFoundError
from composer.frozen import frozen
from composer.images import reference
from composer.images.blobs import Blobs
from composer.images.config import ImageConfig
from composer.images.layers import Layer, LayerDirectory, chain_id, chain_ids
from composer.images.temporary import scratch, sweep
from composer.state.database import Database
from composer.state.files import locked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from composer.images.limits import Limits
    from composer.images.remove import Removal
    from composer.state.paths import Paths

_MOMENT = 60.0

_MIGRATIONS = (
    """
    CREATE TABLE images (
        id TEXT PRIMARY KEY, manifest TEXT NOT NULL, top TEXT NOT NULL,
        size INTEGER NOT NULL, added REAL NOT NULL, used REAL NOT NULL);
    CREATE TABLE image_names (
        name TEXT PRIMARY KEY, repository TEXT NOT NULL, kind TEXT NOT NULL,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, updated REAL NOT NULL);
    CREATE INDEX image_names_image ON image_names (image);
    CREATE TABLE layer_blobs (
        diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
        repository TEXT NOT NULL, used REAL NOT NULL, PRIMARY KEY (diff_id, digest, repository));
    CREATE INDEX layer_blobs_digest ON layer_blobs (digest);
    CREATE TABLE protected_layers (
        owner TEXT NOT NULL, chain TEXT NOT NULL, PRIMARY KEY (owner, chain));
    """,
)


@frozen
class Image:
    """One image of the store.

    Attributes:
        id: Digest of its configuration, `sha256:...`.
        config: The configuration.
        layers: Its layers, lowest first.
        size: Bytes of all regular files of its layers.
        added: When this store got it, seconds since the epoch.
        manifest: Digest of the manifest it came with, or empty when it was made here.
        repo_tags: Familiar names with tags, sorted: `debian:bookworm-slim`.
        repo_digests: Familiar names with digests: `debian@sha256:...`.
        updated: When each name (canonical) was last set, seconds since the epoch.
    """

    id: str
    config: ImageConfig
    layers: tuple[Layer, ...]
    size: int
    added: float
    manifest: str = ""
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    updated: dict[str, float] = field(default_factory=dict)

    @property
    def created(self) -> str:
        """When it was built, RFC 3339, or empty."""
        return self.config.created

    @property
    def layer_dirs(self) -> tuple[str, ...]:
        """Absolute overlay lower directories, lowest first."""
        return tuple(str(layer.diff) for layer in self.layers)

    @property
    def chain(self) -> str:
        """Chain ID of the whole image; empty for one without layers."""
        return self.layers[-1].chain_id if self.layers else ""

    @property
    def short_id(self) -> str:
        """The twelve digits that lists show."""
        return self.id.partition(":")[2][:12]


class Store:
    """All images of one installation. Methods block; call them in a worker thread from async code.

    Args:
        paths: Where it is.

    Attributes:
        private: Secrets of running build steps, outside of what lasts; one directory for each step.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.blobs = Blobs(paths.blobs, paths.root / "tmp")
        self.directory = LayerDirectory(paths.layers, paths.root / "tmp")
        self.database = Database(paths.database, "images", _MIGRATIONS)
        self.private = paths.run / "build"
        self._lock = paths.root / "locks" / "images.lock"

    # Locks

    @contextmanager
    def using(self, *, blocking: bool = True) -> Iterator[None]:
        """Keep layers from being removed while they are made, or used before anything refers to them.

        Raises:
            ConflictError: Somebody is removing layers, and *blocking* is false.
        """
        with locked(self._lock, shared=True, blocking=blocking):
            yield

    @contextmanager
    def alone(self, *, blocking: bool = True) -> Iterator[None]:
        """Nobody else makes or newly uses layers inside.

        Raises:
            ConflictError: Somebody does, and *blocking* is false.
        """
        with locked(self._lock, blocking=blocking, busy="images are being pulled or built"):
            yield

    @contextmanager
    def working_on(self, chain: str) -> Iterator[None]:
        """Hold the lock of one layer, so that it is downloaded or unpacked once; lower layers first."""
        name = chain.partition(":")[2][:24]
        with locked(self.paths.root / "locks" / "layers" / name):
            yield

    def sweep(self) -> None:
        """Remove what processes that were killed have left unfinished; at any time, beside anybody."""
        sweep(self.directory.temporary)
        sweep(self.private)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for unfinished work on the store's file system, removed afterwards."""
        with scratch(self.directory.temporary) as path:
            yield path

    # Finding

    def resolve(self, name: str) -> Image | None:
        """The image that *name* means: a name, name@digest, an id, or at least 4 digits of an id.

        Raises:
            ImageError: Neither a name nor an id, or several ids begin like this.
        """
        image_id = self._find_id(name)
        return self.image(image_id) if image_id else None

    def get(self, name: str) -> Image:
        """Like `resolve`.

        Raises:
            NotFoundError: There is no such image.
        """
        image = self.resolve(name)
        if image is None:
            raise NotFoundError(f"no such image: {name}", hint=f"pull it: composer image pull {name}")
        return image

    def image(self, image_id: str) -> Image:
        """The image with this complete id.

        Raises:
            NotFoundError: There is none.
            ImageError: Its configuration or a layer is gone.
        """
        connection = self.database.connection()
        row = connection.execute("SELECT * FROM images WHERE id = ?", (image_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"no such image: {image_id}")
        return self._image(row)

    def images(self) -> list[Image]:
        """All images, newest first. Images that lost a layer are left out."""
        rows = self.database.connection().execute("SELECT * FROM images ORDER BY added DESC").fetchall()
        result = []
        for row in rows:
            try:
                result.append(self._image(row))
            except ImageError:
                continue
        return result

    def layer(self, chain: str) -> Layer | None:
        """The layer with this chain ID, or None."""
        return self.directory.get(chain)

    # Making

    def add_layer_from_tar(
        self,
        stream: BinaryIO | Iterable[bytes],
        parent_chain: str = "",
        *,
        diff_id: str = "",
        keep_tar: bool = True,
        limits: Limits | None = None,
    ) -> Layer:
        """Unpack a tar (plain, gzip, zstd, xz or bzip2; told by its first bytes) as one more layer.

        Args:
            stream: The archive: something with `read`, or chunks.
            parent_chain: Chain ID of the layer below.
            diff_id: What its uncompressed digest must be, when that is known.
            keep_tar: Record how to write the same tar again, which saving and pushing need.
            limits: Bounds against bombs; default from the environment.

        Raises:
            ImageError: The archive is damaged, hostile or too large, or its digest differs.
        """
        from composer.images.apply import layer_from_tar

        with self.using():
            return layer_from_tar(
                self.directory, stream, parent_chain, diff_id=diff_id, keep_tar=keep_tar, limits=limits
            )

    def add_layer_from_directory(self, upper: Path | str, parent_chain: str = "") -> Layer:
        """Make the directory *upper* (overlayfs form: char 0:0 whiteouts, opaque xattrs) the next layer.

        It is moved, not copied, when it is on the store's file system; *upper* is gone afterwards. Its
        diff ID is the digest of the tar that `tree.write_tree` makes of it.

        Raises:
            ImageError: It holds redirects or metacopies, or cannot be read.
        """
        from composer.images.apply import layer_from_directory

        with self.using():
            return layer_from_directory(self.directory, upper, parent_chain)

    def empty_layer(self, parent_chain: str = "") -> Layer:
        """A layer that changes nothing (its tar is 1024 zero bytes)."""
        return self.add_layer_from_tar([bytes(1024)], parent_chain)

    def put_image(
        self,
        config: ImageConfig | bytes,
        *,
        names: Sequence[str] = (),
        manifest: bytes = b"",
    ) -> Image:
        """Make an image visible; its layers must be in the store.

        Args:
            config: The configuration, or its bytes exactly as they were received.
            names: Names it gets; they are taken from whatever had them.
            manifest: The manifest it came with, exactly as received.

        Raises:
            ImageError: A layer is missing, or a name is malformed.
        """
        data = config if isinstance(config, bytes) else config.to_bytes()
        parsed = ImageConfig.from_bytes(data)
        parsed_names = [reference.parse(name) for name in names]
        image_id = digest_of(data)
        if not manifest and self._just_put(image_id, parsed_names):
            return self.image(image_id)
        with self.using():
            top = chain_ids(parsed.diff_ids)[-1] if parsed.diff_ids else ""
            layers = self.directory.ancestry(top)
            self.blobs.put(data, image_id)
            manifest_digest = self.blobs.put(manifest) if manifest else ""
            now = time.time()
            size = sum(layer.size for layer in layers)
            with self.database.transaction() as connection:
                connection.execute(
                    "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET used = excluded.used, manifest ="
                    " CASE excluded.manifest WHEN '' THEN manifest ELSE excluded.manifest END",
                    (image_id, manifest_digest, top, size, now, now),
                )
                for name in parsed_names:
                    self._set_name(connection, name, image_id)
        return self.image(image_id)

    def tag(self, image: Image | str, name: str) -> None:
        """Give *image* (or the image that this name means) one more name.

        Raises:
            NotFoundError: There is no such image.
            ImageError: *name* is malformed, or holds a digest.
        """
        found = self.get(image) if isinstance(image, str) else image
        parsed = reference.parse(name)
        if parsed.digest:
            raise ImageError(f"cannot tag as {name!r}: a name with a digest is not ours to give")
        with self.database.transaction() as connection:
            self._set_name(connection, parsed, found.id)

    def add_digest(self, image_id: str, repository: str, digest: str) -> None:
        """Note that *repository* (`docker.io/library/debian`) has the image as *digest*."""
        with self.database.transaction() as connection:
            self._set_name(connection, reference.parse(f"{repository}@{digest}"), image_id)

    # Removing

    def remove(self, name: str, *, force: bool = False) -> tuple[Removal, ...]:
        """Take a name away, and with its last name the image; see `remove.remove_image`."""
        from composer.images.remove import remove_image

        return remove_image(self, name, force=force)

    def protect(self, owner: str, chains: Iterable[str]) -> None:
        """Keep layers (and all below them) although no image refers to them, until `release(owner)`."""
        with self.database.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO protected_layers VALUES (?, ?)", [(owner, chain) for chain in chains]
            )

    def release(self, owner: str) -> None:
        """End what `protect` began."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM protected_layers WHERE owner = ?", (owner,))

    def layer_tar(self, layer: Layer) -> Iterator[bytes]:
        """The uncompressed tar of *layer*; its digest, which is the diff ID, is verified at the end.

        Raises:
            ImageError: The layer was changed on disk.
        """
        from composer.images.apply import layer_chunks

        return layer_chunks(self.directory, layer, self.kept_blob)

    # Compressed forms of layers

    def note_blob(self, diff_id: str, digest: str, media_type: str, size: int, repository: str = "") -> None:
        """Remember that *digest* is a compressed form of *diff_id*, and that *repository* has it."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?, ?)",
                (diff_id, digest, media_type, size, repository, time.time()),
            )

    def blobs_of(self, diff_id: str) -> list[sqlite3.Row]:
        """Rows of digest, media_type, size, repository: the known compressed forms of a layer."""
        connection = self.database.connection()
        query = "SELECT * FROM layer_blobs WHERE diff_id = ? ORDER BY used DESC"
        return connection.execute(query, (diff_id,)).fetchall()

    def kept_blob(self, diff_id: str) -> Path | None:
        """The file of a compressed form of the layer that is kept here, or None."""
        for row in self.blobs_of(diff_id):
            if self.blobs.has(row["digest"]):
                return self.blobs.path(row["digest"])
        return None

    # Inside

    def _just_put(self, image_id: str, names: Sequence[reference.Reference]) -> bool:
        """Whether the image got these names a moment ago: writing it again only costs a sync of the disk."""
        rows = self.database.connection().execute(
            "SELECT name, updated FROM image_names WHERE image = ?", (image_id,)
        )
        updated = {row["name"]: row["updated"] for row in rows}
        oldest = time.time() - _MOMENT
        return bool(names) and all(updated.get(name.canonical, 0.0) > oldest for name in names)

    def _set_name(self, connection: sqlite3.Connection, name: reference.Reference, image_id: str) -> None:
        if name.digest:
            canonical, kind = f"{name.repository}@{name.digest}", "digest"
        else:
            canonical, kind = name.canonical, "tag"
        connection.execute(
            "INSERT OR REPLACE INTO image_names VALUES (?, ?, ?, ?, ?)",
            (canonical, name.repository, kind, image_id, time.time()),
        )

    def _find_id(self, name: str) -> str:
        connection = self.database.connection()
        bare = name.removeprefix("sha256:")
        is_hex = 4 <= len(bare) <= 64 and not bare.strip("0123456789abcdef")
        if len(bare) == 64 and is_hex:
            row = connection.execute("SELECT id FROM images WHERE id = ?", (f"sha256:{bare}",)).fetchone()
            return row[0] if row else ""
        if bare == name:
            parsed = reference.parse(name)
            canonical = f"{parsed.repository}@{parsed.digest}" if parsed.digest else parsed.canonical
            row = connection.execute("SELECT image FROM image_names WHERE name = ?", (canonical,)).fetchone()
            if row:
                return str(row[0])
        if is_hex:
            query = "SELECT id FROM images WHERE id GLOB ? LIMIT 2"
            rows = connection.execute(query, (f"sha256:{bare}*",)).fetchall()
            if len(rows) > 1:
                raise ImageError(f"several images have ids that begin with {bare}", hint="give more digits")
            return rows[0][0] if rows else ""
        return ""

    def _image(self, row: sqlite3.Row) -> Image:
        data = self.blobs.read(row["id"])
        config = ImageConfig.from_bytes(data)
        layers = tuple(self.directory.ancestry(row["top"]))
        names = self.database.connection().execute(
            "SELECT name, kind, updated FROM image_names WHERE image = ? ORDER BY name", (row["id"],)
        )
        tags: list[str] = []
        digests: list[str] = []
        updated: dict[str, float] = {}
        for name, kind, when in names:
            updated[name] = when
            (tags if kind == "tag" else digests).append(reference.parse(name).familiar)
        return Image(
            row["id"],
            config,
            layers,
            row["size"],
            row["added"],
            row["manifest"],
            tuple(tags),
            tuple(digests),
            updated,
        )


def digest_of(data: bytes) -> str:
    """`sha256:` and the hex digest of *data*."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


__all__ = ["ConflictError", "Image", "Layer", "Store", "chain_id", "chain_ids", "digest_of"]
