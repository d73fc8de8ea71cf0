"""Models are pulled from a Hub whatever happens on the way: fresh processes against the loopback Hub, with huggingface_hub 1.x and 2.x."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hub_client import HubClient, installed_major
from hub_pulls import FETCH, LARGE, REPO, kept, path_of, refused, sha, through
from hub_server import Hub

from merzoo.entries import Register
from merzoo.published import CONFIG, WEIGHTS, config_of
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset
from merzoo.weights import write

if TYPE_CHECKING:
    from conftest import Site

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
import torch
torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork, and whoever waits for them waits for ever
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
OPEN = """
import sys
from merzoo.cli.guard import guarded
from merzoo.hub import open_published
sys.exit(guarded(lambda: print(open_published(sys.argv[1]).file)))
"""


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
    card = {"model": SPEC.name, "preset": "small", "labels": list(LABELS), "task": "classes", "trained_on": {"data": "toy", "subjects": ["toy:s1"]}}
    write(path, recognizer.saved(), card)
    state = sha(b"".join(value.numpy().tobytes() for value in recognizer.state_dict().values()))
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
    plugin(hub_client, repr([(f"hf://{REPO}@{commit}/{WEIGHTS}", sha(toy.files[WEIGHTS]))]))
    done = hub_client.python(LOAD + ONE, "hub-toy")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, toy.state, "")
    assert not hub.seen(pattern=f"*/{CONFIG}")


def test_weights_of_another_hash_are_refused(hub: Hub, client: HubClient, toy: Toy, plugin: Callable[..., None]) -> None:
    commit = hub.put(REPO, toy.files)
    plugin(client, repr([(f"hf://{REPO}@{commit}/{WEIGHTS}", "0" * 64)]))
    refused(client.python(LOAD + ONE, "hub-toy"), "instead of 000000000000…", "fetched twice")


def test_the_token_goes_to_the_endpoint_and_nowhere_else(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE, CONFIG: "{}"}, private=True)
    for file in (WEIGHTS, CONFIG):
        path_of(hub_client.python(FETCH, REPO, file, commit, HF_TOKEN=hub.token))
    assert {(one.origin, one.authorization) for one in hub.requests} == {("hub", f"Bearer {hub.token}"), ("cdn", None)}


def test_a_dropped_body_goes_on_where_it_was(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "drop", after=11_000_000)
    assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit)).read_bytes() == LARGE
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
    assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, **environment)).read_bytes() == LARGE
    assert len(hub.seen(pattern=pattern)) >= 2  # the fault was met


def test_wrong_bytes_of_the_right_length(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    hub.fault("/cdn/*", "bytes", times=2)
    refused(hub_client.python(FETCH, REPO, WEIGHTS, commit, sha(LARGE)), "is not the file that was published", "fetched twice")
    for _ in range(2):  # what the cache holds is not trusted, and once it is right it is kept
        assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, sha(LARGE))).read_bytes() == LARGE
    assert len(hub.seen("GET", "/cdn/*")) == 3


def test_a_cache_that_was_damaged_is_mended(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    path = path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, sha(LARGE)))
    path.resolve().write_bytes(LARGE[:-1])
    refused(hub_client.python(FETCH, REPO, WEIGHTS, commit, sha(LARGE), HF_HUB_OFFLINE="1"), f"is damaged in the cache ({path})", "HF_HUB_OFFLINE forbids")
    assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, sha(LARGE))).read_bytes() == LARGE


def test_a_config_that_was_damaged_is_mended(hub: Hub, hub_client: HubClient, toy: Toy) -> None:
    name = f"hf-hub:{REPO}@{hub.put(REPO, toy.files)}"
    config = path_of(hub_client.python(OPEN, name)).with_name(CONFIG)
    config.resolve().write_bytes(toy.files[CONFIG][:100])
    refused(hub_client.python(OPEN, name, HF_HUB_OFFLINE="1"), "cannot be read as JSON", f"{config} in the cache cannot be fetched again: HF_HUB_OFFLINE")
    path_of(hub_client.python(OPEN, name))
    assert config.read_bytes() == toy.files[CONFIG]


def test_a_config_that_is_none_on_the_hub_is_refused(hub: Hub, client: HubClient) -> None:
    commit = hub.put(REPO, {CONFIG: "[]"})
    refused(client.python(OPEN, f"hf-hub:{REPO}@{commit}"), "config.json: its content is not an object")
    assert len(hub.seen("GET", f"*/{CONFIG}")) == 2


def test_a_commit_in_capitals_is_that_commit(hub: Hub, client: HubClient, toy: Toy) -> None:
    commit = hub.put(REPO, toy.files)
    assert path_of(client.python(OPEN, f"hf-hub:{REPO}@{commit.upper()}")).parent.name == commit


def test_a_proxy_is_used(hub: Hub, hub_client: HubClient) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE, CONFIG: "{}"})
    assert path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, **through(hub))).read_bytes() == LARGE
    assert {(one.host.split(":")[0], one.proxied) for one in hub.requests} == {("hub.invalid", True), ("localhost", True)}


def test_the_folder_of_the_cache(hub: Hub, hub_client: HubClient, tmp_path: Path) -> None:
    commit = hub.put(REPO, {WEIGHTS: LARGE})
    path = path_of(hub_client.python(FETCH, REPO, WEIGHTS, commit, HF_HUB_CACHE=str(tmp_path / "elsewhere")))
    assert path.is_relative_to(tmp_path / "elsewhere")
    assert kept(hub) == []


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
    hub.fault("/cdn/*", "slow", rate=5_000_000 if how_far > 1_000_000 else 1_000_000)
    process = client.start(FETCH, REPO, WEIGHTS, commit)
    deadline = time.monotonic() + 60
    while not any(one.sent >= how_far for one in hub.seen("GET", "/cdn/*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.communicate()
    assert kept(hub) == []
    path = path_of(client.python(FETCH, REPO, WEIGHTS, commit))
    assert path.read_bytes() == LARGE
    assert (hub.seen("GET", "/cdn/*")[-1].range, hub.seen("GET", "/cdn/*")[-1].status) == (None, 200)


def test_a_terminal_sees_progress_and_retries(hub: Hub, hub_client: HubClient) -> None:
    pty = pytest.importorskip("pty", reason="this system has no terminals of its own making")
    termios = pytest.importorskip("termios", reason="this system has no terminals of its own making")
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
