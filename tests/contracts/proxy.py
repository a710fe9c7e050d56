"""A reverse proxy before a real registry: sets a test's subjects apart, and can stand in the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Answer = tuple[int, bytes]


class Proxy:
    """Passes every request on, with ``prefix`` before each subject, but for those that ``intercept`` answers (it gets
    "METHOD path"). Answers name the subjects without the prefix.

    ``requests`` has every request's method and path, ``credentials`` their Authorization headers.
    """

    def __init__(self, target: str, prefix: str) -> None:
        self._host = target.removeprefix("http://").partition("/")[0]
        self._prefix = prefix
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.intercept: Callable[[str], Answer | None] = lambda _: None
        self.requests: list[tuple[str, str]] = []
        self.credentials: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        self.requests.append((method, path))
        return self.intercept(f"{method} {path}") or self._pass_on(method, path, body)

    def _pass_on(self, method: str, path: str, body: bytes) -> Answer:
        for place in ("/subjects/", "/config/"):
            path = path.replace(place, f"{place}{self._prefix}-")
        connection = HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
            response = connection.getresponse()
            return response.status, response.read().replace(f"{self._prefix}-".encode(), b"")
        finally:
            connection.close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is the other one
        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                proxy.credentials.append(self.headers["Authorization"])
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content = proxy.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Keeps the test's output clean."""

        return Handler
