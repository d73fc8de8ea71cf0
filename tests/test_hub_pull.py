"""Models are pulled from a Hub, or one line says why not: fresh processes against the loopback Hub, with huggingface_hub 1.x and 2.x."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from hub_client import HubClient, installed_major
from hub_server import Hub

from merzoo.entries import Register
from merzoo.published import CONFIG, WEIGHTS, config_of
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset
from merzoo.weights import write

if TYPE_CHECKING:
    from conftest import Site

REPO = "org/toy"
LABELS = ("negative", "positive", "surprise")
SPEC = ModelSpec("hub-toy", "for tests", "flow-grid", "linear", presets={"small": Preset({"size": 16, "grid": 2}, preprocessing=Preprocessing(size=16))})
PLUGIN = """
from merzoo.specs import ModelSpec, Preprocessing, Preset, WeightsSpec
def merzoo_register(register):
    presets = {"small": Preset({"size": 16, "grid": 2}, preprocessing=Preprocessing(size=16))}
    pinned = {PINNED}
    weights = tuple(WeightsSpec("hub", "small", source, sha256, ("negative", "positive", "surprise")) for source, sha256 in pinned)
    register.model(ModelSpec("hub-toy", "for tests", "flow-grid", "linear", presets=presets, weights=weights))
"""
LOAD = """
import hashlib, os, sys
from merzoo.cli.guard import guarded
from merzoo.loading import load
def run():
    model = load(sys.argv[1])
    state = hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()
    os.write(1, f"{state}\\n".encode())  # whole, among other processes
"""
ONE = "sys.exit(guarded(run))"
EIGHT = """
from multiprocessing import get_context
import huggingface_hub.file_download
load("hub-toy", None, labels=["this", "that"])
context = get_context("fork")  # what is imported is so once
barrier = context.Barrier(8)
def at_once():
    barrier.wait()
    sys.exit(guarded(run))
processes = [context.Process(target=at_once) for _ in range(8)]
[process.start() for process in processes]
[process.join() for process in processes]
sys.exit(max(process.exitcode for process in processes))
"""
FETCH = """
import os, resource, sys
from merzoo.cli.guard import guarded
from merzoo.hub import fetch
if limit := int(os.environ.get("LARGEST_FILE", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # written beyond it, a file fails as on a full disk
sys.exit(guarded(lambda: print(fetch(*sys.argv[1:]))))
"""
OPEN = """
import sys
from merzoo.cli.guard import guarded
from merzoo.hub import open_published
sys.exit(guarded(lambda: print(open_published(sys.argv[1]).file)))
"""
LARGE = os.urandom(11_500_000)  # the client keeps whole blocks of 10 MiB


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True)
class Toy:
    """A published model: its files, and the hash of the state that they hold."""

    files: dict[str, bytes]
    state: str


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    register = Register("tests-of-pulling")
    register.model(SPEC)
    registry().add(register)
    torch.manual_seed(7)
    recognizer = assemble(SPEC, "small", LABELS)
    path = tmp_path_factory.mktemp("toy") / WEIGHTS
    card = {"model": SPEC.name, "preset": "small", "labels": list(LABELS), "trained_on": {"data": "toy", "subjects": ["toy:s1"]}}
    write(path, recognizer.saved(), card)
    state = _sha(b"".join(value.numpy().tobytes() for value in recognizer.state_dict().values()))
    return Toy({WEIGHTS: path.read_bytes(), CONFIG: json.dumps(config_of(recognizer, path, card).to_json()).encode()}, state)


@pytest.fixture
def plugin(site: Site) -> Callable[[HubClient, str], None]:
    """Let a client's processes see the toy's plugin, with weights pinned as [(source, sha256)]."""

    def install(client: HubClient, pinned: str = "[]") -> None:
        site.distribution("hub-toy", source=PLUGIN.replace("{PINNED}", pinned))
        client.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (client.environment["PYTHONPATH"], str(site.root))))

    return install


@pytest.fixture
def client(hub: Hub) -> HubClient:
    """The installed huggingface_hub."""
    return HubClient(hub, installed_major(), None)


def _path(done: subprocess.CompletedProcess[str]) -> Path:
    assert (done.returncode, done.stderr) == (0, ""), done
    return Path(done.stdout.strip())


def _refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """The one line of a failure."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done
    assert lines[0].startswith("merzoo: ") and ";" in lines[0], lines[0]
    for word in words:
        assert word in lines[0]
    return lines[0]


def _kept(hub: Hub) -> list[str]:
    """Names of the files that the cache would give out: blobs and snapshots."""
    return sorted(path.name for path in (hub.home / "hub").glob("models--*/*/**/*") if path.is_file() and not path.name.endswith(".incomplete"))


def test_a_pinned_model_loads_once_from_the_hub_then_from_the_cache(hub: Hub, hub_client: HubClient, toy: Toy, plugin: Callable[..., None]) -> None:
    plugin(hub_client)
    commit = hub.put(REPO, toy.files)
    first = hub_client.python(LOAD + ONE, f"hf-hub:{REPO}@{commit}")
    assert (first.returncode, first.stdout.strip(), first.stderr) == (0, toy.state, "")
    assert sorted((one.origin, one.status) for one in hub.seen("GET")) == [("cdn", 200), ("hub", 200)]
    hub.requests.clear()
    assert hub_client.python(LOAD + ONE, f"hf-hub:{REPO}@{commit}").stdout.strip() == toy.state
    hub.stop()
    offline = hub_client.python(LOAD + ONE, f"hf-hub:{REPO}@{commit}", HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout.strip(), offline.stderr, hub.requests) == (0, toy.state, "", [])


def test_a_model_without_a_pin_says_which_commit_it_is(hub: Hub, hub_client: HubClient, toy: Toy) -> None:
    old = hub.put(REPO, toy.files)
    hub.repo(REPO).tag("v1")
    new = hub.put(REPO, {"notes.txt": "more"})
    for name, commit in ((f"hf-hub:{REPO}", new), (f"hf-hub:{REPO}@v1", old)):
        done = hub_client.python(OPEN, name)
        assert (done.returncode, Path(done.stdout.strip()).read_bytes()) == (0, toy.files[WEIGHTS]), done
        assert done.stderr.startswith("merzoo: warning: ") and done.stderr.rstrip().endswith(f"hf-hub:{REPO}@{commit}")
        assert len(done.stderr.splitlines()) == 1
    hub.stop()
    done = hub_client.python(OPEN, f"hf-hub:{REPO}")  # no network: the commit that main was when it was last seen
    assert (done.returncode, f"/{new}/" in done.stdout, f"@{new}" in done.stderr) == (0, True, True), done


def test_weights_that_a_plugin_pins(hub: Hub, hub_client: HubClient, toy: Toy, plugin: Callable[..., None]) -> None:
    commit = hub.put(REPO, toy.files)
    plugin(hub_client, repr([(f"hf://{REPO}@{commit}/{WEIGHTS}", _sha(toy.files[WEIGHTS]))]))
    done = hub_client.python(LOAD + ONE, "hub-toy")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, toy.state, "")
    assert not hub.seen(pattern=f"*/{CONFIG}")


def test_weights_of_another_hash_are_refused(hub: Hub, client: HubClient, toy: Toy, plugin: Callable[..., None]) -> None:
    commit = hub.put(REPO, toy.files)
    plugin(client, repr([(f"hf://{REPO}@{commit}/{WEIGHTS}", "0" * 64)]))
    _refused(client.python(LOAD + ONE, "hub-toy"), "instead of 000000000000…", "fetched twice")


REFUSALS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {  # how it is asked for or goes wrong, and words of the line
    "private, no token": ({"private": True}, ("(401)", "hf auth login", "HF_TOKEN")),
    "private, another's token": ({"private": True, "HF_TOKEN": Hub.reader}, ("(404)", "HF_TOKEN")),
    "token that is none": ({"HF_TOKEN": "hf_wrong"}, ("(401)", "valid")),
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
        asked |= _through(hub)
    repo, file, revision = asked.pop("repo", REPO), asked.pop("file", WEIGHTS), asked.pop("revision", commit)
    _refused(client.python(FETCH, repo, file, revision, **asked), f"hf-hub:{repo}@{revision}: {file} cannot be had: ", *words)
    assert [name for name in _kept(hub) if name not in ("main", "nothing.json")] == []  # a ref, and the note that there is no such file
    hub.heal()
    if not asked and repo == REPO and (file, revision) == (WEIGHTS, commit) and case != "private, no token":
        assert _path(client.python(FETCH, REPO, WEIGHTS, commit)).read_bytes() == LARGE


def _through(hub: Hub) -> dict[str, str]:
    """An endpoint that only a proxy knows, which is the loopback server."""
    return {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": hub.endpoint, "http_proxy": hub.endpoint, "NO_PROXY": "", "no_proxy": ""}


def test_the_command_line_says_it_in_one_line(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    for frame in range(3):
        cv2.imwrite(str(tmp_path / f"{frame}.png"), np.full((64, 64, 3), 40 * frame, np.uint8))
    commit = "1" * 40
    for name, word in ((f"hf-hub:org/nothing@{commit}", "no such repository"), ("hf-hub:../../etc", "is not hf-hub:org/repo")):
        _refused(client.merzoo("predict", str(tmp_path), "--model", name), word)


@pytest.mark.parametrize("token, words", [("", ("one by one", "HF_TOKEN")), (Hub.reader, ("one by one", "ask for access"))])
def test_gated(hub: Hub, hub_client: HubClient, token: str, words: tuple[str, ...]) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE}, gated=True)
    _refused(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_TOKEN=token), *words)
    assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_TOKEN=hub.token)).read_bytes() == LARGE


def test_the_token_goes_to_the_endpoint_and_nowhere_else(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE, CONFIG: "{}"}, private=True)
    for file in (WEIGHTS, CONFIG):
        _path(hub_client.python(FETCH, REPO, file, commit, HF_TOKEN=hub.token))
    assert {(one.origin, one.authorization) for one in hub.requests} == {("hub", f"Bearer {hub.token}"), ("cdn", None)}


def test_a_dropped_body_goes_on_where_it_was(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "drop", after=11_000_000)
    assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit)).read_bytes() == LARGE
    assert [(one.status, one.range) for one in hub.seen("GET", "/cdn/*")] == [(200, None), (206, "bytes=10485760-")]


PASSING: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "503 for the address": ("*/resolve/*", "status", {}, {}),
    "503 for the body": ("/cdn/*", "status", {}, {}),
    "429 with a time to wait": ("/cdn/*", "status", {"code": 429, "headers": {"Retry-After": "0"}}, {}),
    "a reset connection": ("/cdn/*", "drop", {"after": 11_000_000, "reset": True}, {}),
    "an address that takes long": ("*/resolve/*", "delay", {"seconds": 2}, {"HF_HUB_ETAG_TIMEOUT": "1"}),
    "a body that takes long": ("/cdn/*", "delay", {"seconds": 2}, {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_is_waited_for(hub: Hub, hub_client: HubClient, case: str) -> None:
    pattern, kind, options, environment = PASSING[case]
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault(pattern, kind, **options)
    assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, **environment)).read_bytes() == LARGE
    assert len(hub.seen(pattern=pattern)) >= 2  # the fault was met


@pytest.mark.slow
def test_what_lasts_is_told_after_a_while(hub: Hub, client: HubClient) -> None:
    """All at once, since the client tries each for half a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    contents = {f"org/{name}": os.urandom(100) for name in ("broken", "busy", "mute", "closed", "unknown")}
    commits = {repo: hub.put(repo, {WEIGHTS: content}) for repo, content in contents.items()}
    hub.fault("/org/broken/*", "status", None, code=500)
    hub.fault("/org/busy/*", "status", None, code=429)
    hub.fault(f"/cdn/{_sha(contents['org/mute'])}", "delay", None, seconds=2)
    expected: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
        "org/broken": ({}, ("(500)", "later")),
        "org/busy": ({}, ("(429)", "wait")),
        "org/mute": ({"HF_HUB_DOWNLOAD_TIMEOUT": "1"}, ("did not answer in time", "HF_HUB_DOWNLOAD_TIMEOUT")),
        "org/closed": ({"HF_ENDPOINT": closed}, (closed, "cannot be reached", "check the network")),
        "org/unknown": ({"HF_ENDPOINT": "http://hub.invalid"}, ("http://hub.invalid", "cannot be reached")),
    }
    running = {repo: client.start(FETCH, repo, WEIGHTS, commits[repo], **environment) for repo, (environment, _) in expected.items()}
    for repo, process in running.items():
        out, err = process.communicate(timeout=120)
        _refused(subprocess.CompletedProcess(process.args, process.returncode, out, err), repo, *expected[repo][1])


def test_wrong_bytes_of_the_right_length(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "bytes", times=2)
    _refused(hub_client.python(FETCH, REPO, WEIGHTS, commit, _sha(LARGE)), "is not the file that was published", "fetched twice")
    for _ in range(2):  # what the cache holds is not trusted, and once it is right it is kept
        assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, _sha(LARGE))).read_bytes() == LARGE
    assert len(hub.seen("GET", "/cdn/*")) == 3


def test_a_cache_that_was_damaged_is_mended(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    path = _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, _sha(LARGE)))
    path.resolve().write_bytes(LARGE[:-1])
    assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, _sha(LARGE))).read_bytes() == LARGE


def test_a_proxy_is_used(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE, CONFIG: "{}"})
    assert _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, **_through(hub))).read_bytes() == LARGE
    assert {(one.host.split(":")[0], one.proxied) for one in hub.requests} == {("hub.invalid", True), ("localhost", True)}


def test_the_folder_of_the_cache(hub: Hub, hub_client: HubClient, tmp_path: Path) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    path = _path(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_HUB_CACHE=str(tmp_path / "elsewhere")))
    assert path.is_relative_to(tmp_path / "elsewhere")
    assert _kept(hub) == []


def test_eight_processes_fetch_once(hub: Hub, hub_client: HubClient, toy: Toy, plugin: Callable[..., None]) -> None:
    """All begin at one moment, while the body takes long to come."""
    plugin(hub_client)
    commit = hub.put(REPO, toy.files)
    hub.fault("/cdn/*", "delay", seconds=1.5)
    done = hub_client.python(LOAD + EIGHT, f"hf-hub:{REPO}@{commit}")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [toy.state] * 8, "")
    assert len(hub.seen("HEAD", f"*/{WEIGHTS}")) > 1  # they did meet
    assert [one.status for one in hub.seen("GET", "/cdn/*")] == [200]
    assert [one.status for one in hub.seen("GET", f"*/{CONFIG}")] == [200]


@pytest.mark.parametrize("how_far", [0, 300_000, 10_600_000])
def test_a_killed_download_is_begun_again(hub: Hub, client: HubClient, how_far: int) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "slow", rate=20_000_000 if how_far > 1_000_000 else 1_000_000)
    process = client.start(FETCH, REPO, WEIGHTS, commit)
    deadline = time.monotonic() + 60
    while not any(one.sent >= how_far for one in hub.seen("GET", "/cdn/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.communicate()
    assert _kept(hub) == []
    path = _path(client.python(FETCH, REPO, WEIGHTS, commit))
    assert path.read_bytes() == LARGE
    assert (hub.seen("GET", "/cdn/*")[-1].range, hub.seen("GET", "/cdn/*")[-1].status) == (None, 200)


def test_a_terminal_sees_progress_and_retries(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "drop", after=11_000_000)
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))
    code = f"import sys; sys.argv = ['', {REPO!r}, {WEIGHTS!r}, {commit!r}]\n{FETCH}"
    environment = {**os.environ, **hub_client.environment, "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=its, stdout=subprocess.PIPE, text=True, cwd=hub.home)
    os.close(its)
    seen = b""
    while part := _read(mine):
        seen += part
    os.close(mine)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, Path(out.strip()).read_bytes() == LARGE) == (0, True)
    for word in (WEIGHTS, "100%", "resume"):
        assert word in seen.decode(), seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # closed on the other side
        return b""
