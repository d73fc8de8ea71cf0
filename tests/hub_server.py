"""A Hub on loopback for tests: the endpoints that huggingface_hub 1.30+ and 2.x really call, over HTTP/1.1, with faults on demand.

Two hosts, as on the real Hub: the endpoint itself, and a "CDN" where large files lie (by the name localhost: the client of 1.x tells hosts by their names,
without the port). `resolve` answers a large file with a redirect to the CDN and X-Repo-Commit, X-Linked-Etag and X-Linked-Size, and a small one directly;
both know ranges. The CDN asks for no token, and none may be sent to it.

Uploads and downloads take the plain path: git-lfs' batch, one PUT, verify, and a commit; ranges over HTTP. Not xet, whose chunk storage is a protocol of
its own (a compiled client, hf_xet, against a content-addressed store), which this server does not speak. For downloads the server alone decides: it sends
no X-Xet-Hash. For uploads the client decides: with hf_xet installed it takes xet without asking, in 1.30+ and in 2.x alike, so `Hub.environment` holds
HF_HUB_DISABLE_XET=1, the client's documented switch, which is also what a machine without hf_xet does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hub_handler import Handler
from hub_store import OWNER, READER, Blob, Repo, is_lfs

KINDS = {"status", "drop", "delay", "slow", "bytes", "html", "cut", "headers"}


@dataclass
class Request:
    """One request as the server saw it; status and sent (bytes of the body) are filled in as it is answered."""

    method: str
    path: str  # with neither host nor query
    origin: str  # "hub" or "cdn"
    range: str | None
    authorization: str | None
    host: str
    proxied: bool  # asked for by a whole address, as a proxy is
    status: int = 0
    sent: int = 0


@dataclass
class Fault:
    """What goes wrong, where, and how often (None: always)."""

    pattern: str
    kind: str
    times: int | None
    method: str | None
    options: dict[str, Any] = field(default_factory=dict)


class Hub:
    """The server; `home` is the folder of the client's cache and token. `token` may do everything, `reader` is valid but on no list."""

    token, reader = OWNER, READER

    def __init__(self, home: Path) -> None:
        self.home = home
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, Blob] = {}  # large files by sha256, committed or not
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self._faults: list[Fault] = []
        self._servers = [_listen(self, origin) for origin in ("hub", "cdn")]
        hub, cdn = (server.server_address[1] for server in self._servers)
        self.endpoint, self.cdn = f"http://127.0.0.1:{hub}", f"http://localhost:{cdn}"

    def stop(self) -> None:
        """Close both ports; a second call does nothing."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs so that it talks to this Hub and to nothing of the user's."""
        home = str(self.home)
        paths = {"HF_HOME": home, "HF_HUB_CACHE": f"{home}/hub", "HF_TOKEN_PATH": f"{home}/token", "HF_STORED_TOKENS_PATH": f"{home}/stored_tokens"}
        switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return {"HF_ENDPOINT": self.endpoint, **paths, **switches, **direct}

    def put(self, name: str, files: Mapping[str, bytes | str], *, private: bool = False, gated: bool = False, message: str = "put") -> str:
        """Commit files to the main branch of a repository, which is made where there is none; gives the commit."""
        with self.lock:
            repo = self.repos.setdefault(name, Repo(name))
            repo.private, repo.gated = private, gated
            contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
            blobs = {path: Blob(content, is_lfs(path, len(content))) for path, content in contents.items()}
            self.objects.update({blob.sha256: blob for blob in blobs.values() if blob.lfs})
            return repo.commit(blobs, (), message)

    def repo(self, name: str) -> Repo:
        """A repository by name; `.files()`, `.head`, `.tag(name)`, `.private`, `.gated`."""
        return self.repos[name]

    def fault(self, pattern: str, kind: str, times: int | None = 1, method: str | None = None, **options: Any) -> None:
        """Let the next `times` requests (None: all) whose path fits the pattern ("*" spans slashes; "/cdn/*" is every large file) go wrong:

        "status" code=503, headers={}: an error; "delay" seconds: wait before the headers; "slow" rate: bytes a second; "drop" after=bytes, reset=False: the
        connection ends inside the body (reset: with RST); "cut" after: a shorter body whose length header agrees with it; "bytes": wrong bytes of the right
        length; "html": a page with status 200, as a hotel's network gives; "headers" without=("X-Repo-Commit",): headers left out.
        """
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}; there are {sorted(KINDS)}")
        with self.lock:
            self._faults.append(Fault(pattern, kind, times, method, options))

    def heal(self) -> None:
        """Forget every fault."""
        with self.lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, if any; it is used up by that."""
        with self.lock:
            for fault in self._faults:
                if fault.times != 0 and fnmatchcase(path, fault.pattern) and fault.method in (None, method):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def seen(self, method: str = "*", pattern: str = "*", status: int | None = None) -> list[Request]:
        """The logged requests that fit."""
        with self.lock:
            log = list(self.requests)
        return [one for one in log if fnmatchcase(one.method, method) and fnmatchcase(one.path, pattern) and status in (None, one.status)]

    def __repr__(self) -> str:
        return json.dumps([f"{one.method} {one.origin}{one.path} {one.status} {one.range or ''}".strip() for one in self.requests], indent=1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent: clients that are killed in the middle are what these tests are about; a fault of the server itself is answered with 500 and its text."""


def _listen(hub: Hub, origin: str) -> ThreadingHTTPServer:
    server = _Server(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub, "origin": origin}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name=f"hub-{origin}", daemon=True).start()
    return server
