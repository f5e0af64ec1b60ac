"""Make the tables and put the first goods on the shelf; running it again changes nothing."""

from __future__ import annotations

from store import database

TABLE = """
CREATE TABLE IF NOT EXISTS product (
    name text PRIMARY KEY,
    cents integer NOT NULL CHECK (cents > 0)
)
"""
GOODS = [("teapot", 2450), ("cup", 690), ("spoon", 320)]

with database() as connection, connection.cursor() as cursor:
    cursor.execute(TABLE)
    cursor.executemany("INSERT INTO product VALUES (%s, %s) ON CONFLICT DO NOTHING", GOODS)
    cursor.execute("SELECT count(*) FROM product")
    print(f"migrated: {cursor.fetchone()[0]} products")
