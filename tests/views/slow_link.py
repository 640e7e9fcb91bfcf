"""A network link that stands still until it is released, and then carries everything."""

from __future__ import annotations

import socket
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit


class _Carry(BaseRequestHandler):
    server: SlowLink

    def handle(self) -> None:
        self.server.released.wait()
        with socket.create_connection(self.server.target) as service:
            back = threading.Thread(target=_copy, args=(service, self.request), daemon=True)
            back.start()
            _copy(self.request, service)
            back.join()


class SlowLink(ThreadingTCPServer):
    """A TCP relay on loopback, to be put before a service: what is sent waits in it until ``released`` is set."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Carry)
        target = urlsplit(url)
        self.target = (target.hostname or "127.0.0.1", target.port or 80)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self.shutdown()
        super().__exit__(*error)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other side is gone
        return
