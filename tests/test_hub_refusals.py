"""What cannot be pulled from a Hub is told in one line that ends with the remedy, and leaves nothing in the cache: fresh processes against the loopback Hub."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hub_client import HubClient, installed_major
from hub_pulls import FETCH, LARGE, REPO, kept, path_of, refused, sha, through
from hub_server import Hub

from merzoo.published import CONFIG, WEIGHTS


@pytest.fixture
def client(hub: Hub) -> HubClient:
    """The installed huggingface_hub."""
    return HubClient(hub, installed_major(), None)


REFUSALS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {  # how it is asked for or goes wrong, and words of the line
    "private, no token": ({"private": True}, ("(401)", "hf auth login", "HF_TOKEN")),
    "private, another's token": ({"private": True, "HF_TOKEN": Hub.reader}, ("(404)", "HF_TOKEN")),
    "token that is none": ({"HF_TOKEN": "hf_wrong"}, ("(401)", "valid")),
    "token of other letters": ({"HF_TOKEN": "hf_größe"}, ("signs that no token has", "HF_TOKEN")),
    "no such repository": ({"repo": "org/nothing"}, ("no such repository", "check its name")),
    "no such commit": ({"revision": "0" * 40}, ("no such revision",)),
    "no such tag": ({"revision": "v9"}, ("no such revision",)),
    "no such file": ({"file": "nothing.json"}, ("no such file",)),
    "forbidden": ({"fault": ("*/resolve/*", "status", {"code": 403})}, ("(403)", "token")),
    "a page on the way": ({"fault": ("*/resolve/*", "html", {})}, ("no Hub", "log-in page")),
    "a page for the body": ({"fault": ("/cdn/*", "html", {})}, ("another length", "log-in page")),
    "no commit told": ({"fault": ("*/resolve/*", "headers", {})}, ("no Hub", "HF_ENDPOINT")),
    "no etag told": ({"fault": ("*/resolve/*", "headers", {"without": ("ETag", "X-Linked-Etag")})}, ("no Hub",)),
    "shorter than told": ({"fault": ("/cdn/*", "cut", {"after": 1000})}, ("another length", "try again")),
    "offline": ({"HF_HUB_OFFLINE": "1"}, ("not in the cache", "HF_HUB_OFFLINE")),
    "full disk": ({"LARGEST_FILE": "5000000"}, ("disk is full", "HF_HUB_CACHE")),
    "full disk at the first byte": ({"LARGEST_FILE": "1", "file": "config.json"}, ("disk is full",)),
    "no folder for the cache": ({"HF_HUB_CACHE": "/dev/null/cache"}, ("/dev/null", "HF_HUB_CACHE")),
    "a proxy that asks for a name": ({"proxy": True, "fault": ("*/resolve/*", "status", {"code": 407})}, ("(407)", "HTTPS_PROXY")),
    "a teapot": ({"fault": ("*/resolve/*", "status", {"code": 418})}, ("418", "try again")),
    "a server that stays broken behind the redirect": ({"fault": ("/cdn/*", "status", {"code": 503})}, ("(503)", "later")),
    "a connection that always breaks": ({"fault": ("/cdn/*", "drop", {"after": 1000, "reset": True})}, ("broke off", "try again")),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_line_and_leave_nothing(hub: Hub, client: HubClient, case: str) -> None:
    asked, words = REFUSALS[case]
    asked = dict(asked)
    commit = hub.put(REPO, {WEIGHTS: LARGE, CONFIG: "{}"}, private=asked.pop("private", False))
    if fault := asked.pop("fault", None):
        hub.fault(fault[0], fault[1], times=None, **fault[2])
    if asked.pop("proxy", False):
        asked |= through(hub)
    repo, file, revision = asked.pop("repo", REPO), asked.pop("file", WEIGHTS), asked.pop("revision", commit)
    endpoint = hub.endpoint.replace("http://", "http://alice:s3cret@") if case == "a teapot" else hub.endpoint
    done = client.python(FETCH, repo, file, revision, **{"HF_ENDPOINT": endpoint, **asked})
    line = refused(done, f"hf-hub:{repo}@{revision}: {file} cannot be had: ", *words)
    assert [name for name in kept(hub) if name not in ("main", "nothing.json")] == [] and "s3cret" not in line  # a ref, and the note that there is no such file
    hub.heal()
    if not asked and repo == REPO and (file, revision) == (WEIGHTS, commit) and case != "private, no token":
        assert path_of(client.python(FETCH, REPO, WEIGHTS, commit)).read_bytes() == LARGE


def test_the_command_line_says_it_in_one_line(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    for frame in range(3):
        cv2.imwrite(str(tmp_path / f"{frame}.png"), np.full((64, 64, 3), 40 * frame, np.uint8))
    commit = "1" * 40
    for name, word in ((f"hf-hub:org/nothing@{commit}", "no such repository"), ("hf-hub:../../etc", "is not hf-hub:org/repo")):
        refused(client.merzoo("predict", str(tmp_path), "--model", name), word)


@pytest.mark.parametrize("hub_client", [3 - installed_major()], indirect=True)
@pytest.mark.parametrize("case", ["private, no token", "token of other letters", "no such tag", "no such file", "shorter than told", "offline", "full disk"])
def test_the_other_client_is_understood(hub: Hub, hub_client: HubClient, case: str) -> None:
    """Reasons are told by the names of classes, which each major version may change: some cases with the one that is not installed."""
    test_refusals_are_one_line_and_leave_nothing(hub, hub_client, case)


@pytest.mark.parametrize("token, words", [("", ("one by one", "HF_TOKEN")), (Hub.reader, ("one by one", "ask for access"))])
def test_gated(hub: Hub, hub_client: HubClient, token: str, words: tuple[str, ...]) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE}, gated=True)
    refused(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_TOKEN=token), *words)
    assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_TOKEN=hub.token)).read_bytes() == LARGE


@pytest.mark.slow
def test_what_lasts_is_told_after_a_while(hub: Hub, client: HubClient) -> None:
    """All at once, since the client tries each for half a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    contents = {f"org/{name}": os.urandom(100) for name in ("broken", "busy", "mute", "closed", "hidden", "unknown")}
    commits = {repo: hub.put(repo, {WEIGHTS: content}) for repo, content in contents.items()}
    hub.fault("/org/broken/*", "status", None, code=500)
    hub.fault("/org/busy/*", "status", None, code=429)
    hub.fault(f"/cdn/{sha(contents['org/mute'])}", "delay", None, seconds=2)
    expected: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
        "org/broken": ({}, ("(500)", "later")),
        "org/busy": ({}, ("(429)", "wait")),
        "org/mute": ({"HF_HUB_DOWNLOAD_TIMEOUT": "1"}, ("did not answer in time", "HF_HUB_DOWNLOAD_TIMEOUT")),
        "org/closed": ({"HF_ENDPOINT": closed}, (closed, "cannot be reached", "check the network")),
        "org/hidden": ({"HF_ENDPOINT": closed.replace("://", "://alice:s3cret@")}, (f": {closed} cannot be reached",)),
        "org/unknown": ({"HF_ENDPOINT": "http://hub.invalid"}, ("http://hub.invalid", "cannot be reached")),
    }
    running = {repo: client.start(FETCH, repo, WEIGHTS, commits[repo], **environment) for repo, (environment, _) in expected.items()}
    for repo, process in running.items():
        out, err = process.communicate(timeout=120)
        refused(subprocess.CompletedProcess(process.args, process.returncode, out, err), repo, *expected[repo][1])
