"""The shop's service: products from PostgreSQL, a visit counter in Redis.

GET /               products, number of visits, and which replica answered
POST /products      {"name": ..., "cents": ...} puts something on the shelf
GET /health         200 when both stores answer
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis
from store import cache, database


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Shelf and health."""
        if self.path == "/health":
            self.answer(self.health)
        elif self.path == "/":
            self.answer(self.shelf)
        else:
            self.send(404, {"error": f"nothing at {self.path}"})

    def do_POST(self) -> None:
        """A new product."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/products":
            self.answer(lambda: self.stock(json.loads(body)))
        else:
            self.send(404, {"error": f"nothing at {self.path}"})

    def answer(self, work) -> None:
        """Send what *work* returns; a store that does not answer is a 503."""
        try:
            self.send(200, work())
        except (psycopg2.Error, redis.RedisError) as error:
            self.send(503, {"error": str(error).strip()})
        except (ValueError, KeyError) as error:
            self.send(400, {"error": f"not a product: {error}"})

    def health(self) -> dict:
        cache().ping()
        with database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return {"status": "ok"}

    def shelf(self) -> dict:
        visits = cache().incr("visits")
        with database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name, cents FROM product ORDER BY name")
            products = [{"name": name, "cents": cents} for name, cents in cursor.fetchall()]
        return {"products": products, "visits": visits, "served_by": socket.gethostname()}

    def stock(self, product: dict) -> dict:
        with database() as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO product VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET cents = excluded.cents",
                (product["name"], product["cents"]),
            )
        return product

    def send(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, pattern: str, *values: object) -> None:
        """Requests on standard output; the health probe's would drown the others."""
        if self.path != "/health":
            print(pattern % values, flush=True)


class Server(ThreadingHTTPServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until SIGTERM."""
    server = Server(("0.0.0.0", 8000), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{socket.gethostname()} listens on port 8000", flush=True)
    server.serve_forever()
    sys.exit(0)


main()
