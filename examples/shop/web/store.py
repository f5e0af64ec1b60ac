"""Connections to PostgreSQL and Redis, from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg2
import redis


def database() -> psycopg2.extensions.connection:
    """A connection to PostgreSQL."""
    return psycopg2.connect(
        host=os.environ["DATABASE_HOST"],
        user=os.environ["DATABASE_USER"],
        dbname=os.environ["DATABASE_NAME"],
        password=Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text(encoding="utf-8").strip(),
        connect_timeout=3,
    )


def cache() -> redis.Redis:
    """A client of Redis."""
    return redis.Redis(host=os.environ["CACHE_HOST"], socket_timeout=3)
