"""SQLite for metadata: one file (WAL), one set of tables per room, short transactions.

Connections belong to a thread and a process: a forked child opens its own. A room (`images`, `networks`,
`volumes`) names its tables by a list of migrations; they run once, in order, inside a transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from composer.errors import ComposerError
from composer.state.files import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BUSY_SECONDS = 30.0


class Database:
    """The metadata file as one room sees it.

    Args:
        path: The SQLite file; its directory is created (mode 0700).
        room: Who owns the tables, for the version bookkeeping.
        migrations: SQL scripts; number n brings version n to n+1. Append, never change.
    """

    def __init__(self, path: Path, room: str, migrations: Sequence[str]) -> None:
        self._path = path
        self._room = room
        self._migrations = tuple(migrations)
        self._local = threading.local()

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode, for reading.

        Raises:
            ComposerError: The file cannot be opened, is no database, or was written by a newer version.
        """
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is not None and self._local.pid == os.getpid():
            return known
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            connection.row_factory = sqlite3.Row
            # SQLite does not wait for its lock when it changes to WAL, so two first openers would collide.
            with locked(self._path.with_name(f"{self._path.name}.open")):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
                self._migrate(connection)
        except sqlite3.DatabaseError as error:
            raise ComposerError(f"cannot use {self._path}: {error}") from error
        except OSError as error:
            raise ComposerError(f"cannot create {self._path.parent}: {error.strerror}") from error
        self._local.connection, self._local.pid = connection, os.getpid()
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it happens, or nothing. Waits for other writers for half a minute.

        Raises:
            ComposerError: Another writer held the file too long, or the disk is full.
        """
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            hint = "free some space, then run the command again" if "full" in str(error) else ""
            raise ComposerError(f"cannot write {self._path}: {error}", hint=hint) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == len(self._migrations):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS rooms (room TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            version = self._version(connection)
            if version > len(self._migrations):
                raise ComposerError(  # noqa: TRY301 - the transaction must be rolled back as for any error
                    f"{self._path} was written by a newer version of composer",
                    hint="use that version, or another COMPOSER_HOME",
                )
            for script in self._migrations[version:]:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)
            connection.execute(
                "INSERT OR REPLACE INTO rooms VALUES (?, ?)", (self._room, len(self._migrations))
            )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _version(self, connection: sqlite3.Connection) -> int:
        try:
            row = connection.execute("SELECT version FROM rooms WHERE room = ?", (self._room,)).fetchone()
        except sqlite3.OperationalError:
            return 0
        return int(row[0]) if row else 0
