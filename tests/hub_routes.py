"""What the loopback Hub of the tests answers: a function for each endpoint that the client calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hub_store import NAMESPACES, OWNER, READER, Blob, Refusal, Repo, is_lfs

if TYPE_CHECKING:
    from hub_handler import Handler

NAME = r"(?P<name>[\w.-]+/[\w.-]+?)"


def resolve(handler: Handler, name: str, revision: str, path: str) -> None:
    """A file: itself if small, else a redirect to the large storage."""
    repo = handler.repo(name, content=True)
    try:
        commit, blob = repo.file(revision, path)
    except Refusal as refusal:
        known = {"X-Repo-Commit": repo.resolve(revision)} if refusal.code == "EntryNotFound" else {}
        headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message, **known}
        return handler.send(refusal.status, refusal.message.encode(), headers)
    facts = {"X-Repo-Commit": commit, "ETag": f'"{blob.etag}"'}
    if not blob.lfs:
        return handler.send_content(blob.content, facts)
    query = urlencode({"filename": path.rsplit("/", 1)[-1]})
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content)), "Location": f"{handler.hub.cdn}/cdn/{blob.sha256}?{query}"}
    return handler.send(302, b"Found", {**facts, **linked})


def large(handler: Handler, oid: str) -> None:
    """A large file, to anyone: on the real CDN the address is signed."""
    blob = handler.hub.objects.get(oid)
    if blob is None:
        raise Refusal(403, "", "AccessDenied")
    shown = {"Content-Disposition": f'inline; filename="{handler.query["filename"]}";'} if "filename" in handler.query else {}
    handler.send_content(blob.content, {"ETag": f'"{oid}"', **shown})


def store(handler: Handler, oid: str) -> None:
    """The upload of a large file."""
    blob = Blob(handler.body, lfs=True)
    if blob.sha256 != oid:
        raise Refusal(400, "", "XAmzContentSHA256Mismatch")
    handler.hub.objects[oid] = blob
    handler.send(200, b"", {"ETag": f'"{oid}"'})


def batch(handler: Handler, name: str) -> None:
    """git-lfs' batch: where to put each large file; nothing where it is there already."""
    handler.repo(name, write=True)
    rows: list[dict[str, Any]] = []
    for one in json.loads(handler.body)["objects"]:
        upload = {"href": f"{handler.hub.cdn}/cdn/{one['oid']}", "header": {}}
        verify = {"href": f"{handler.hub.endpoint}/{name}.git/info/lfs/objects/verify", "header": {}}
        rows.append({**one} if one["oid"] in handler.hub.objects else {**one, "authenticated": True, "actions": {"upload": upload, "verify": verify}})
    handler.json({"transfer": "basic", "objects": rows})


def verify(handler: Handler, name: str) -> None:
    """Whether a large file arrived whole."""
    handler.repo(name, write=True)
    asked = json.loads(handler.body)
    found = handler.hub.objects.get(asked["oid"])
    if found is None or len(found.content) != asked["size"]:
        raise Refusal(404, "", "object not found, or of another size")
    handler.json({})


def preupload(handler: Handler, name: str, revision: str) -> None:
    """Which of the files are large ones, and what is there under their names."""
    repo = handler.repo(name, write=True)
    old = repo.commits[repo.resolve(revision)]
    rows = []
    for one in json.loads(handler.body)["files"]:
        known = {"oid": old[one["path"]].etag} if one["path"] in old else {}
        rows.append({"path": one["path"], "uploadMode": "lfs" if is_lfs(one["path"], one["size"]) else "regular", "shouldIgnore": False, **known})
    handler.json({"files": rows})


def commit(handler: Handler, name: str, revision: str) -> None:
    """A commit, one operation a line."""
    repo = handler.repo(name, write=True)
    header: dict[str, Any] = {}
    added: dict[str, Blob] = {}
    deleted: list[str] = []
    for line in handler.body.splitlines():
        row = json.loads(line)
        kind, value = row["key"], row["value"]
        if kind == "header":
            header = value
        elif kind == "file":
            added[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
        elif kind == "lfsFile":
            if value["oid"] not in handler.hub.objects:
                raise Refusal(400, "", f"LFS pointer pointed to a file that does not exist: {value['path']}")
            added[value["path"]] = handler.hub.objects[value["oid"]]
        elif kind in ("deletedFile", "deletedFolder"):
            deleted.append(value["path"].rstrip("/") + ("/" if kind == "deletedFolder" else ""))
    with handler.hub.lock:
        if revision not in repo.refs:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if header.get("parentCommit") and not repo.refs[revision].startswith(header["parentCommit"]):
            raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
        oid = repo.commit(added, tuple(deleted), header["summary"], revision)
    handler.json({"success": True, "commitOid": oid, "commitUrl": f"{handler.hub.endpoint}/{name}/commit/{oid}", "hookOutput": ""})


def create(handler: Handler) -> None:
    """A new repository, with git's attributes in a first commit."""
    asked = json.loads(handler.body)
    if handler.token() is None:
        raise Refusal(401, "", "Invalid username or password.")
    if handler.token() not in (OWNER, READER):
        raise Refusal(401, "", "Invalid credentials in Authorization header")
    owner = asked.get("organization") or NAMESPACES[0]
    name = f"{owner}/{asked['name']}"
    if handler.token() != OWNER or owner not in NAMESPACES:
        raise Refusal(403, "", f'You don\'t have the rights to create a model under the namespace "{owner}"')
    url = f"{handler.hub.endpoint}/{name}"
    with handler.hub.lock:
        if name in handler.hub.repos:
            return handler.json({"error": "You already created this model repo", "url": url}, 409)
        private = asked.get("visibility") == "private" or asked.get("private") is True
        handler.hub.repos[name] = Repo(name, private=private)
    return handler.json({"url": url, "name": name, "id": name})


def whoami(handler: Handler) -> None:
    """Whose token it is."""
    if handler.token() == READER:
        handler.json({"type": "user", "name": "reader", "orgs": [], "auth": {"type": "access_token", "accessToken": {"role": "read"}}})
        return
    if handler.token() != OWNER:
        raise Refusal(401, "", "Invalid credentials in Authorization header")
    auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": "write"}}
    handler.json({"type": "user", "name": NAMESPACES[0], "fullname": "Tester", "orgs": [{"type": "org", "name": NAMESPACES[1]}], "auth": auth})


def check_yaml(handler: Handler) -> None:
    """The head of a model card: here only that there is one; the Hub's own rules are its own."""
    content = json.loads(handler.body)["content"]
    warnings = [] if content.startswith("---\n") else [{"message": "empty or missing yaml metadata in repo card"}]
    handler.json({"errors": [], "warnings": warnings})


def refs(handler: Handler, name: str) -> None:
    """Branches and tags."""
    repo = handler.repo(name)
    rows = [{"name": ref, "ref": f"refs/{'heads' if ref == 'main' else 'tags'}/{ref}", "targetCommit": oid} for ref, oid in repo.refs.items()]
    handler.json({"branches": [row for row in rows if row["name"] == "main"], "tags": [row for row in rows if row["name"] != "main"], "converts": []})


def tree(handler: Handler, name: str, revision: str, folder: str | None) -> None:
    """A listing, on one page."""
    handler.json(handler.repo(name).tree(revision, (folder or "").strip("/"), handler.query.get("recursive", "").lower() in ("true", "1")))


def info(handler: Handler, name: str, revision: str | None = None) -> None:
    handler.json(handler.repo(name).info(revision or "main"))


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET HEAD", rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ("GET HEAD", r"/cdn/(?P<oid>[0-9a-f]{64})", large),
    ("PUT", r"/cdn/(?P<oid>[0-9a-f]{64})", store),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", batch),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/verify", verify),
    ("POST", rf"/api/models/{NAME}/preupload/(?P<revision>.+)", preupload),
    ("POST", rf"/api/models/{NAME}/commit/(?P<revision>.+)", commit),
    ("POST", r"/api/repos/create", create),
    ("POST", r"/api/validate-yaml", check_yaml),
    ("GET", r"/api/whoami-v2", whoami),
    ("GET", rf"/api/models/{NAME}/refs", refs),
    ("GET", rf"/api/models/{NAME}/tree/(?P<revision>[^/]+)(?P<folder>/.*)?", tree),
    ("GET HEAD", rf"/api/models/{NAME}(/revision/(?P<revision>.+))?", info),
]
