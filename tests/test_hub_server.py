"""huggingface_hub's own client, 1.x and 2.x, in processes of its own, against the loopback Hub: downloads, uploads, faults and refusals."""

from __future__ import annotations

import hashlib
import json
import os
from subprocess import CompletedProcess
from typing import Any

import pytest
from hub_client import HubClient
from hub_server import Hub

LARGE = os.urandom(300_000)
DOWNLOAD = """
import sys, hashlib, json
from huggingface_hub import hf_hub_download
repo, file, revision = sys.argv[1:]
path = hf_hub_download(repo, file, revision=revision)
print(json.dumps([path, hashlib.sha256(open(path, "rb").read()).hexdigest()]))
"""
UPLOAD = """
import sys, json, pathlib
from huggingface_hub import HfApi
api, folder = HfApi(), pathlib.Path(sys.argv[1])
print(json.dumps([api.whoami()["name"], api.create_repo("org/new", exist_ok=True, private=True).repo_id]))
print(json.dumps(api.upload_folder(repo_id="org/new", folder_path=folder, commit_message="first").oid))
"""


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _said(done: CompletedProcess[str]) -> list[Any]:
    """What a process printed, one JSON value a line."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _failure(done: CompletedProcess[str]) -> str:
    """The last lines of a traceback."""
    assert done.returncode == 1, done
    return done.stderr.rsplit("Traceback", 1)[-1]


def test_download_of_large_and_small(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put("org/model", {"model.safetensors": LARGE, "config.json": "{}"})
    [[path, sha]] = _said(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))
    assert (sha, f"/{commit}/" in path) == (_sha(LARGE), True)
    [[path, sha]] = _said(hub_client.python(DOWNLOAD, "org/model", "config.json", "main"))
    assert (sha, f"/{commit}/" in path) == (_sha(b"{}"), True)
    assert [one.status for one in hub.seen("HEAD", "*/model.safetensors")] == [302]
    assert [(one.origin, one.status, one.sent) for one in hub.seen("GET")] == [("cdn", 200, len(LARGE)), ("hub", 200, 2)]
    hub.requests.clear()
    assert _said(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))[0][1] == _sha(LARGE)
    assert hub.requests == []


def test_tags_and_older_commits(hub: Hub, hub_client: HubClient) -> None:
    old = hub.put("org/model", {"config.json": "old"})
    hub.repo("org/model").tag("v1")
    new = hub.put("org/model", {"config.json": "new"})
    code = """
import sys
from huggingface_hub import hf_hub_download
for revision in sys.argv[1:]:
    print(open(hf_hub_download("org/model", "config.json", revision=revision)).read())
"""
    done = hub_client.python(code, "v1", "main", old, new)
    assert (done.returncode, done.stdout.split()) == (0, ["old", "new", "old", "new"]), done.stderr


def test_upload_and_listing(hub: Hub, hub_client: HubClient) -> None:
    folder = hub.home / "folder"
    (folder / "more").mkdir(parents=True)
    card = b"---\nlicense: mit\n---\n"
    contents = {"model.safetensors": LARGE, "config.json": b"{}", "README.md": card, "more/notes.txt": b"", "more/same.safetensors": LARGE}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    who, oid = _said(hub_client.python(UPLOAD, str(folder), HF_TOKEN=hub.token))
    repo = hub.repo("org/new")
    assert (who, repo.private, repo.head, repo.messages[oid]) == (["tester", "org/new"], True, oid, "first")
    assert {**repo.files(), ".gitattributes": None} == {**contents, ".gitattributes": None}
    assert {(one.status, one.path) for one in hub.seen("PUT")} == {(200, f"/cdn/{_sha(LARGE)}")}
    assert hub.seen("POST", "*/info/lfs/objects/verify", 200)
    assert all(one.authorization is None for one in hub.requests if one.origin == "cdn")
    # Unchanged files make no commit, and nothing is sent twice.
    (folder / "config.json").write_text("{1}")
    _, second = _said(hub_client.python(UPLOAD, str(folder), HF_TOKEN=hub.token))
    assert (len({one.path for one in hub.seen("PUT")}), repo.files()["config.json"], len(repo.commits)) == (1, b"{1}", 3)
    _, third = _said(hub_client.python(UPLOAD, str(folder), HF_TOKEN=hub.token))
    assert (third, len(repo.commits)) == (second, 3)
    code = """
import json
from huggingface_hub import HfApi
info = HfApi().model_info("org/new", files_metadata=True)
print(json.dumps([info.sha, info.private, {one.rfilename: [one.size, one.lfs and one.lfs.sha256] for one in info.siblings}]))
print(json.dumps(sorted(HfApi().list_repo_files("org/new"))))
print(json.dumps(sorted(one.path for one in HfApi().list_repo_tree("org/new"))))
print(json.dumps([[one.name, one.target_commit] for one in HfApi().list_repo_refs("org/new").branches]))
"""
    [sha, private, files], names, top, branches = _said(hub_client.python(code, HF_TOKEN=hub.token))
    assert (sha, private, branches) == (second, True, [["main", second]])
    assert (files["model.safetensors"], files["config.json"]) == ([len(LARGE), _sha(LARGE)], [3, None])
    assert names == sorted(contents | {".gitattributes": b""})
    assert top == [".gitattributes", "README.md", "config.json", "model.safetensors", "more"]


def test_commit_with_deletion_and_stale_parent(hub: Hub, hub_client: HubClient) -> None:
    first = hub.put("org/model", {"a.txt": "a", "old/b.txt": "b"})
    code = """
import sys
from huggingface_hub import HfApi, CommitOperationAdd, CommitOperationDelete
operations = [CommitOperationAdd("c.txt", b"c"), CommitOperationDelete("old/"), CommitOperationDelete("a.txt")]
HfApi().create_commit("org/model", operations, commit_message="change", parent_commit=sys.argv[1])
"""
    done = hub_client.python(code, first, HF_TOKEN=hub.token)
    assert done.returncode == 0, done.stderr
    assert sorted(hub.repo("org/model").files()) == [".gitattributes", "c.txt"]
    assert "412" in _failure(hub_client.python(code, first, HF_TOKEN=hub.token))


@pytest.mark.parametrize("token, expected", [("", "RepositoryNotFoundError"), (Hub.reader, "RepositoryNotFoundError"), (Hub.token, None), ("hf_wrong", "401")])
def test_private(hub: Hub, hub_client: HubClient, token: str, expected: str | None) -> None:
    commit = hub.put("org/model", {"model.safetensors": LARGE}, private=True)
    done = hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit, HF_TOKEN=token)
    if expected:
        assert expected in _failure(done)
        assert not hub.seen("GET")
    else:
        assert _said(done)[0][1] == _sha(LARGE)
        assert [one.authorization for one in hub.seen("GET", "/cdn/*")] == [None]


REFUSALS = {
    "gated": ("org/gated", "config.json", "main", "GatedRepoError"),
    "repo": ("org/nothing", "config.json", "main", "RepositoryNotFoundError"),
    "revision": ("org/model", "config.json", "0" * 40, "RevisionNotFoundError"),
    "file": ("org/model", "nothing.json", "main", "EntryNotFoundError"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(hub: Hub, hub_client: HubClient, case: str) -> None:
    repo, file, revision, expected = REFUSALS[case]
    hub.put("org/model", {"config.json": "{}"})
    hub.put("org/gated", {"config.json": "{}"}, gated=True)
    assert expected in _failure(hub_client.python(DOWNLOAD, repo, file, revision, HF_TOKEN=hub.reader))


def test_only_the_owner_writes(hub: Hub, hub_client: HubClient) -> None:
    hub.put("org/model", {"a.txt": "a"})
    code = "from huggingface_hub import HfApi\nHfApi().upload_file(path_or_fileobj=b'b', path_in_repo='b.txt', repo_id='org/model')"
    assert "403" in _failure(hub_client.python(code, HF_TOKEN=hub.reader))
    code = "from huggingface_hub import HfApi\nHfApi().create_repo('strangers/model')"
    assert "403" in _failure(hub_client.python(code, HF_TOKEN=hub.token))
    assert sorted(hub.repos) == ["org/model"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_dropped_body_is_continued(hub: Hub, hub_client: HubClient, reset: bool) -> None:
    """The client writes in blocks of 10 MiB, and goes on from the last whole one; a connection that is reset is its end."""
    content = os.urandom(11_500_000)
    commit = hub.put("org/model", {"model.safetensors": content})
    hub.fault("/cdn/*", "drop", method="GET", after=11_000_000, reset=reset)
    done = hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit)
    if reset:
        assert "ReadError" in _failure(done)
        return
    assert _said(done)[0][1] == _sha(content)
    first, second = hub.seen("GET", "/cdn/*")
    assert (first.status, first.sent, second.status, second.range, second.sent) == (200, 11_000_000, 206, "bytes=10485760-", 11_500_000 - 10_485_760)


def test_faults_that_pass(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put("org/model", {"model.safetensors": LARGE})
    hub.fault("*/resolve/*", "status", code=503)
    hub.fault("/cdn/*", "status", code=429, headers={"Retry-After": "0"})
    hub.fault("/cdn/*", "slow", rate=1_000_000)
    assert _said(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))[0][1] == _sha(LARGE)
    assert [one.status for one in hub.requests] == [503, 302, 429, 200]


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "headers": ("*/resolve/*", {}, "X-Repo-Commit"),
    "html": ("*/resolve/*", {}, "X-Repo-Commit"),
    "cut": ("/cdn/*", {"after": 1000}, "Consistency check failed"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_that_last(hub: Hub, hub_client: HubClient, kind: str) -> None:
    pattern, options, expected = FAULTS[kind]
    commit = hub.put("org/model", {"model.safetensors": LARGE})
    hub.fault(pattern, kind, times=None, **options)
    assert expected in _failure(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))
    hub.heal()
    assert _said(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))[0][1] == _sha(LARGE)


def test_the_client_does_not_see_wrong_bytes(hub: Hub, hub_client: HubClient) -> None:
    """What merzoo's own sha256 is for."""
    commit = hub.put("org/model", {"model.safetensors": LARGE})
    hub.fault("/cdn/*", "bytes")
    assert _said(hub_client.python(DOWNLOAD, "org/model", "model.safetensors", commit))[0][1] == _sha(bytes(byte ^ 0x5A for byte in LARGE))


def test_a_stopped_server_is_gone(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put("org/model", {"config.json": "{}"})
    _said(hub_client.python(DOWNLOAD, "org/model", "config.json", commit))
    hub.stop()
    assert _said(hub_client.python(DOWNLOAD, "org/model", "config.json", commit))[0][1] == _sha(b"{}")
    assert "LocalEntryNotFoundError" in _failure(hub_client.python(DOWNLOAD, "org/model", "other.json", commit, HF_HUB_OFFLINE="1"))


def test_as_a_proxy(hub: Hub, hub_client: HubClient) -> None:
    """Names that no resolver knows are reached through a proxy, which the loopback server can play."""
    hub.put("org/model", {"config.json": "{}"})
    proxy = {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": hub.endpoint, "http_proxy": hub.endpoint, "NO_PROXY": "", "no_proxy": ""}
    assert _said(hub_client.python(DOWNLOAD, "org/model", "config.json", "main", **proxy))[0][1] == _sha(b"{}")
    assert {(one.host, one.proxied) for one in hub.requests} == {("hub.invalid", True)}
