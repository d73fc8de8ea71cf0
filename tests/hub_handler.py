"""One connection to the loopback Hub of the tests: its log, its faults, and how bytes are sent."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_routes import ROUTES
from hub_store import Refusal, Repo, missing

if TYPE_CHECKING:
    from hub_server import Fault, Hub, Request

PAGE = b"<!DOCTYPE html><html><head><title>Welcome to the hotel</title></head><body>Please log in.</body></html>"
CHUNK = 64 * 1024  # bytes


class Handler(BaseHTTPRequestHandler):
    """One connection; `hub` and `origin` are set by the server that makes the class."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    origin: str

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr; `Hub.requests` is the log."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer(self) -> None:
        """Log the request, meet its fault, and send what its route gives."""
        from hub_server import Request

        url = urlsplit(self.path)
        self.route = unquote(url.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        self.body = self._read()
        origin = "cdn" if self.route.startswith("/cdn/") else self.origin
        seen = self.headers.get
        self.request_log: Request = Request(
            self.command, self.route, origin, seen("Range"), seen("Authorization"), url.netloc or seen("Host", ""), proxied=bool(url.netloc)
        )
        with self.hub.lock:
            self.hub.requests.append(self.request_log)
        self.met: Fault | None = self.hub.take(self.command, self.route)
        if self.met and self.met.kind == "delay":
            time.sleep(self.met.options["seconds"])
        if self.met and self.met.kind == "status":
            code, headers = self.met.options.get("code", 503), self.met.options.get("headers", {})
            return self.send(code, json.dumps({"error": HTTPStatus(code).phrase}).encode(), headers)
        if self.met and self.met.kind == "html":
            return self.send(200, PAGE, {"Content-Type": "text/html"})
        try:
            return self._route()
        except Refusal as refusal:
            headers = {"X-Error-Message": refusal.message, **({"X-Error-Code": refusal.code} if refusal.code else {})}
            return self.send(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)
        except ConnectionError:  # the client is gone
            raise
        except Exception as error:
            return self.send(500, json.dumps({"error": f"fault of the test server: {error!r}"}).encode(), {})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _route(self) -> None:
        for method, pattern, function in ROUTES:
            match = re.fullmatch(pattern, self.route)
            if match and self.command in method.split():
                return function(self, **match.groupdict())
        raise Refusal(404, "", f"the test server has no {self.command} {self.route}")

    def token(self) -> str | None:
        """The bearer's token, or None."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ").strip() or None

    def repo(self, name: str, **wanted: bool) -> Repo:
        """A repository, if whoever asks may do what is wanted."""
        found = self.hub.repos.get(name)
        if found is None:
            raise missing(self.token())
        found.admit(self.token(), **wanted)
        return found

    def json(self, value: object, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send the status, the headers and, but for HEAD, the body, with whatever fault this request meets."""
        kind, options = (self.met.kind, self.met.options) if self.met else ("", {})
        if kind == "bytes":
            body = bytes(byte ^ 0x5A for byte in body)
        if kind == "cut":
            body = body[: options["after"]]
        left_out = {name.lower() for name in options.get("without", ("X-Repo-Commit",))} if kind == "headers" else set()
        self.request_log.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if name.lower() not in left_out:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, kind, options)

    def _send_body(self, body: bytes, kind: str, options: Mapping[str, Any]) -> None:
        stop = min(options["after"], len(body)) if kind == "drop" else len(body)
        step = max(1, min(CHUNK, options["rate"] // 20)) if kind == "slow" else CHUNK
        for start in range(0, stop, step):
            part = body[start : min(start + step, stop)]
            self.wfile.write(part)
            self.request_log.sent += len(part)
            if kind == "slow":
                time.sleep(len(part) / options["rate"])
        if kind == "drop":
            self.close_connection = True
            if options.get("reset"):  # lingering for no time sends RST in the place of FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def send_content(self, content: bytes, headers: Mapping[str, str]) -> None:
        """A file or the range of it that was asked for: 200, 206 or 416."""
        size = len(content)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        if not match:
            return self.send(200, content, headers)
        start, stop = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if start > stop:
            return self.send(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
        return self.send(206, content[start : stop + 1], {**headers, "Content-Range": f"bytes {start}-{stop}/{size}"})
