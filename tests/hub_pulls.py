"""What the tests of pulling share: code that fetches in a fresh process, and what is expected of its end."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from hub_server import Hub

REPO = "org/toy"
FETCH = """
import os, resource, sys
from merzoo.cli.guard import guarded
from merzoo.hub import fetch
if limit := int(os.environ.get("LARGEST_FILE", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # written beyond it, a file fails as on a full disk
sys.exit(guarded(lambda: print(fetch(*sys.argv[1:]))))
"""
LARGE = os.urandom(11_500_000)  # the client keeps whole blocks of 10 MiB


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def path_of(done: subprocess.CompletedProcess[str]) -> Path:
    assert (done.returncode, done.stderr) == (0, ""), done
    return Path(done.stdout.strip())


def refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """The one line of a failure."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done
    assert lines[0].startswith("merzoo: ") and ";" in lines[0], lines[0]
    for word in words:
        assert word in lines[0]
    return lines[0]


def kept(hub: Hub) -> list[str]:
    """Names of the files that the cache would give out: blobs and snapshots."""
    return sorted(path.name for path in (hub.home / "hub").glob("models--*/*/**/*") if path.is_file() and not path.name.endswith(".incomplete"))


def through(hub: Hub) -> dict[str, str]:
    """An endpoint that only a proxy knows, which is the loopback server."""
    return {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": hub.endpoint, "http_proxy": hub.endpoint, "NO_PROXY": "", "no_proxy": ""}
