"""Repositories of a Hub, held in memory: commits of 40 hex digits, branches and tags, and files hashed as git and git-lfs hash them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

OWNER, READER = "hf_loopback_owner", "hf_loopback_reader"  # tokens: one may write and see everything, the other only what is public
NAMESPACES = ("tester", "org")  # the owner's own, and an organisation's
LFS_NAMES = re.compile(r".*\.(safetensors|bin|npz|npy|pt|pth|ckpt|onnx|h5)")
LFS_SIZE = 10 * 2**20  # bytes; larger files are never regular ones


class Refusal(Exception):
    """An answer that is an error: the status, the X-Error-Code (or "") and the message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, eq=False)
class Blob:
    """A file's bytes; `lfs` says whether they lie in the large storage, behind a redirect."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def git(self) -> str:
        """The SHA-1 that git gives these bytes, or their pointer."""
        content = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git keeps of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git

    def facts(self) -> dict[str, Any]:
        """What listings say of it."""
        large = {"lfs": {"oid": self.sha256, "sha256": self.sha256, "size": len(self.content), "pointerSize": len(self.pointer)}} if self.lfs else {}
        return {"size": len(self.content), "oid": self.git, "blobId": self.git, **large}


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub takes a file as a large one."""
    return size > 0 and (LFS_NAMES.fullmatch(path) is not None or size > LFS_SIZE)


@dataclass
class Repo:
    """One repository. `gated` and `private` are open to the owner's token alone."""

    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.commits:
            attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
            self.commit({".gitattributes": Blob(attributes, lfs=False)}, (), "initial commit")

    @property
    def head(self) -> str:
        """The commit of `main`."""
        return self.refs["main"]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The content of every file at a revision."""
        return {path: blob.content for path, blob in self.commits[self.resolve(revision)].items()}

    def tag(self, name: str, revision: str = "main") -> None:
        self.refs[name] = self.resolve(revision)

    def resolve(self, revision: str) -> str:
        """The commit of a branch, a tag, or (the beginning of) a commit."""
        if revision in self.refs:
            return self.refs[revision]
        found = [oid for oid in self.commits if re.fullmatch("[0-9a-f]{7,40}", revision) and oid.startswith(revision)]
        if len(found) != 1:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found[0]

    def commit(self, added: Mapping[str, Blob], deleted: tuple[str, ...], message: str, branch: str = "main") -> str:
        """Add files and delete others (a name that ends with "/" is a folder); gives the commit."""
        parent = self.refs.get(branch)
        old = self.commits[parent] if parent else {}
        kept = {path: blob for path, blob in old.items() if not any(path == name or (name.endswith("/") and path.startswith(name)) for name in deleted)}
        tree = {**kept, **added}
        text = json.dumps([self.name, parent, message, len(self.commits), sorted((path, blob.etag) for path, blob in tree.items())])
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[oid], self.messages[oid], self.refs[branch] = tree, message, oid
        return oid

    def file(self, revision: str, path: str) -> tuple[str, Blob]:
        """The commit and the file; a missing one is told with the commit, as the Hub does."""
        oid = self.resolve(revision)
        try:
            return oid, self.commits[oid][path]
        except KeyError:
            raise Refusal(404, "EntryNotFound", "Entry not found") from None

    def admit(self, token: str | None, *, write: bool = False, content: bool = False) -> None:
        """Raise what the Hub answers to someone who may not do that."""
        if token is not None and token not in (OWNER, READER):
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        if self.private and token != OWNER:
            raise missing(token)
        if write and token != OWNER:
            raise Refusal(403 if token else 401, "", "Forbidden: you need the write role" if token else "Invalid username or password.")
        if self.gated and content and token != OWNER:
            why = f"Access to model {self.name} is restricted and you are not in the authorized list. Visit its page to ask for access."
            raise Refusal(403 if token else 401, "GatedRepo", why)

    def info(self, revision: str) -> dict[str, Any]:
        """What `/api/models/...` tells."""
        oid = self.resolve(revision)
        files = [{"rfilename": path, **blob.facts()} for path, blob in sorted(self.commits[oid].items())]
        return {
            "_id": oid[:24],
            "id": self.name,
            "modelId": self.name,
            "author": self.name.split("/")[0],
            "sha": oid,
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "lastModified": "2026-01-01T00:00:00.000Z",
            "siblings": files,
        }

    def tree(self, revision: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """The files and folders at or below a folder ("": the root)."""
        start = f"{folder.rstrip('/')}/" if folder else ""
        blobs = {path: blob for path, blob in sorted(self.commits[self.resolve(revision)].items()) if path.startswith(start)}
        if folder and not blobs:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        folders = {path[: len(start) + end.start()] for path in blobs for end in re.finditer("/", path[len(start) :])}
        shown = [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(folders)]
        shown += [{"type": "file", "path": path, **blob.facts()} for path, blob in blobs.items()]
        return [row for row in shown if recursive or "/" not in str(row["path"])[len(start) :]]


def missing(token: str | None) -> Refusal:
    """How the Hub says that a repository is not there, or not for you: who has no token is told to log in."""
    return Refusal(404, "RepoNotFound", "Repository not found") if token else Refusal(401, "RepoNotFound", "Invalid username or password.")
