"""The build cache's index: step key -> the layer that it made, with times of use.

A step's key is a digest of what it does, of the layers below it, and of the content it reads; so a record
never goes stale, it only loses its layer. Layers of records are protected in the image store under the
record's key until `forget` or `forget_old`.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from composer.frozen import frozen
from composer.state.database import Database
from composer.state.files import locked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from contextlib import AbstractContextManager

    from composer.images.layers import Layer
    from composer.images.store import Store

_KEY_VERSION = 1
"""Raised when a step of the same key would make another layer than before."""

_MIGRATIONS = (
    """
    CREATE TABLE build_records (
        key TEXT PRIMARY KEY, chain TEXT NOT NULL, created TEXT NOT NULL, description TEXT NOT NULL,
        size INTEGER NOT NULL, used REAL NOT NULL);
    CREATE TABLE build_notes (key TEXT PRIMARY KEY, value TEXT NOT NULL, used REAL NOT NULL);
    """,
)


@frozen
class Record:
    """A cached step.

    Attributes:
        key: Digest of everything it depends on.
        chain: Chain ID of the layer it made.
        created: When, RFC 3339.
        description: The instruction, for lists.
        size: Bytes of the layer.
        used: Last use, seconds since the epoch.
    """

    key: str
    chain: str
    created: str
    description: str
    size: int
    used: float


class Records:
    """All records of one store.

    Args:
        store: Whose layers they name.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = Database(store.paths.database, "build", _MIGRATIONS)
        self._locks = store.paths.root / "locks" / "build"

    def find(self, key: str) -> tuple[Layer, Record] | None:
        """The layer that a step with this key made, if it is still there."""
        row = (
            self._database.connection()
            .execute("SELECT * FROM build_records WHERE key = ?", (key,))
            .fetchone()
        )
        if row is None:
            return None
        layer = self._store.layer(row["chain"])
        return None if layer is None else (layer, Record(**dict(row)))

    def touch(self, keys: Iterable[str]) -> None:
        """Note that these records were used now; to the minute, since writing costs a sync of the disk."""
        now = time.time()
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE build_records SET used = ? WHERE key = ? AND used < ?",
                [(now, key, now - 60) for key in keys],
            )

    def put(self, key: str, layer: Layer, created: str, description: str) -> None:
        """Remember what a step made, replacing an older record."""
        self._store.release(_owner(key))
        self._store.protect(_owner(key), [layer.chain_id])
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO build_records VALUES (?, ?, ?, ?, ?, ?)",
                (key, layer.chain_id, created, description[:200], layer.size, time.time()),
            )

    def all(self) -> list[Record]:
        """Every record, least recently used first."""
        rows = self._database.connection().execute("SELECT * FROM build_records ORDER BY used").fetchall()
        return [Record(**dict(row)) for row in rows]

    def forget(self, keys: Iterable[str]) -> None:
        """Remove records; their layers go with the next garbage collection."""
        wanted = list(keys)
        for key in wanted:
            self._store.release(_owner(key))
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM build_records WHERE key = ?", [(key,) for key in wanted])

    def note(self, key: str, value: Any) -> None:
        """Remember a small value under *key*: validators of a URL, the time of a result."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO build_notes VALUES (?, ?, ?)", (key, json.dumps(value), time.time())
            )

    def noted(self, key: str) -> Any:
        """What `note` remembered, or None."""
        row = (
            self._database.connection()
            .execute("SELECT value FROM build_notes WHERE key = ?", (key,))
            .fetchone()
        )
        return None if row is None else json.loads(row["value"])

    def working_on(self, key: str, *, blocking: bool = True) -> AbstractContextManager[int]:
        """Hold the lock of one step, so that two builds that want the same do it once.

        Raises:
            ConflictError: Somebody else holds it, and *blocking* is false.
        """
        return locked(self._locks / key[:24], blocking=blocking)


def forget_old(
    records: Records,
    *,
    unused_for: float = 0.0,
    keep_storage: int | None = None,
    spared: Collection[str] = (),
) -> tuple[int, int]:
    """Forget records, least recently used first.

    Args:
        records: Of what.
        unused_for: Only those not used for so many seconds.
        keep_storage: Only until the layers of the rest have so many bytes.
        spared: Chain IDs of layers whose records stay.

    Returns:
        How many records went, and the bytes of their layers.
    """
    now = time.time()
    every = [record for record in records.all() if record.chain not in spared]
    total = sum(record.size for record in every)
    gone: list[Record] = []
    for record in every:
        if now - record.used < unused_for or (keep_storage is not None and total <= keep_storage):
            continue
        gone.append(record)
        total -= record.size
    records.forget(record.key for record in gone)
    return len(gone), sum(record.size for record in gone)


def step_key(**parts: Any) -> str:
    """A key over *parts*, which must be plain JSON values."""
    text = json.dumps(
        {"version": _KEY_VERSION, **parts}, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _owner(key: str) -> str:
    return f"build:{key}"
