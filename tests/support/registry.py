"""A proxy that cuts, corrupts, delays and refuses, and archives for images."""

import contextlib
import http.client
import http.server
import io
import os
import tarfile
import threading


def tar_of(files):
    """A tar of *files*: name -> content, or a number of random bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in files.items():
            data = os.urandom(content) if isinstance(content, int) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class BadProxy:
    """Forwards requests to a registry, unless `trouble` does something else.

    Attributes:
        trouble: `trouble(handler, count) -> action`, called for each request with how often its path came
            before. Actions: None (forward), `("cut", n)` close after n body bytes, `("flip", n)` change body
            byte n, `("status", code, headers)`, `("hang", seconds)`, `("slow-headers",)`, `("short", n)` a
            complete answer with n bytes less, `("norange",)` ignore Range, `("answer", code, headers, body)`.
        requests: `(method, path, headers)` of everything that came.
    """

    def __init__(self, upstream):
        self.upstream = upstream
        self.trouble = lambda handler, count: None
        self.requests = []
        self._counts = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                proxy.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, handler):
        with self._lock:
            count = self._counts[handler.path] = self._counts.get(handler.path, -1) + 1
            self.requests.append((handler.command, handler.path, dict(handler.headers)))
        handler.body = body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        action = self.trouble(handler, count) or ("forward",)
        with contextlib.suppress(OSError):
            self._carry_out(handler, action, body)

    def _carry_out(self, handler, action, body):
        if action[0] == "hang":
            self._stop.wait(action[1])
            handler.close_connection = True
            return
        if action[0] in ("status", "answer"):
            handler.send_response(action[1])
            for key, value in action[2].items():
                handler.send_header(key, value)
            data = action[3] if len(action) > 3 and handler.command != "HEAD" else b""
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
            return
        headers = {key: value for key, value in handler.headers.items() if key.lower() != "connection"}
        if action[0] == "norange":
            headers = {key: value for key, value in headers.items() if key.lower() != "range"}
        upstream = http.client.HTTPConnection(self.upstream, timeout=30)
        upstream.request(handler.command, handler.path, body or None, headers)
        answer = upstream.getresponse()
        data = bytearray(answer.read())
        handler.send_response(answer.status)
        sent = data
        if action[0] == "flip" and len(data) > action[1]:
            data[action[1]] ^= 0xFF
        if action[0] == "cut":
            sent = data[: action[1]]
        if action[0] == "short":
            sent = data = data[: -action[1]]
        for key, value in answer.getheaders():
            if key.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive"):
                handler.send_header(key, value)
        length = answer.getheader("content-length") if handler.command == "HEAD" else str(len(data))
        handler.send_header("Content-Length", length or "0")
        handler.end_headers()
        handler.wfile.write(bytes(sent))
        upstream.close()
        if action[0] == "cut":
            handler.close_connection = True
