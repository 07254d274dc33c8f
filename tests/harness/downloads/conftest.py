"""A web server on this machine, for tests of downloading."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Server:
    """Serves `files` (path -> bytes). `breaks_off`: announce everything, send half, hang up.

    `while_sending` is called when half is sent. `requests` lists the paths asked for. `length`:
    what is announced in place of the number of bytes; None for nothing. `attachments`: paths that
    are announced as files to save.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks_off = False
        self.requests: list[str] = []
        self.length: str | None = ""
        self.attachments: set[str] = set()
        self.while_sending: Callable[[], object] = lambda: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                data = server.files.get(self.path)
                if data is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                if server.length is not None:
                    self.send_header("Content-Length", server.length or str(len(data)))
                page = data.lstrip().startswith(b"<")
                kind = "text/html; charset=utf-8" if page else "application/octet-stream"
                self.send_header("Content-Type", kind)
                if self.path in server.attachments:
                    self.send_header("Content-Disposition", 'attachment; filename="x.pth"')
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                server.while_sending()
                if not server.breaks_off:
                    self.wfile.write(data[len(data) // 2 :])

            def log_message(self, format: str, *args: object) -> None:
                pass

        class QuietServer(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that was killed is part of the tests."""

        self._http = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running `Server`, asked directly whatever proxies the environment names."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()
