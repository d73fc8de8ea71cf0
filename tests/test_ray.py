"""Folds on a cluster of Ray: the bits of a local run, whatever dies on the way. Two nodes on this machine; commands in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Site
from merzoo.errors import RunError
from merzoo.evaluation import ray_worker
from merzoo.evaluation.runs import RunFolder

pytestmark = pytest.mark.slow

PLUGIN = """
from merzoo.specs import ModelSpec, Preprocessing, Preset, View

SMALL = Preset(backbone={"view": "difference", "size": 48}, strategy={"epochs": 4, "batch_size": 6}, preprocessing=Preprocessing(size=64))
SPEC = ModelSpec(
    name="counted", summary="for tests", backbone="timm/test_resnet", strategy="counting",
    train_views={"difference": (View("difference"),)}, presets={"full": SMALL, "small": SMALL},
)

def merzoo_register(register):
    register.strategy("counting", "counting_strategy:Counting")
    register.model(SPEC)
"""
STRATEGY = """
import json, os, sys, time, uuid, warnings
from pathlib import Path
from merzoo.builtin.supervised import Supervised
from merzoo.errors import MerzooWarning, TrainingError

class Counting(Supervised):
    \"\"\"Says in a file when a fold begins to train, and where; then waits until so many have begun, and trains slowly, where that is asked for.\"\"\"
    def stages(self, recognizer, data):
        self.begun, self.subjects = False, sorted(data.micro.subjects)
        warnings.warn("counting: an example of a warning", MerzooWarning)
        return super().stages(recognizer, data)

    def loss(self, recognizer, batch, rng):
        if not self.begun and (log := os.environ.get("MERZOO_TEST_LOG")):
            self.begun = True
            node = sys.modules["ray"].get_runtime_context().get_node_id() if "ray" in sys.modules else ""
            told = Path(log) / f"{uuid.uuid4().hex}.json"
            told.with_suffix(".part").write_text(json.dumps({"subjects": self.subjects, "pid": os.getpid(), "node": node}))
            told.with_suffix(".part").rename(told)
            until = time.monotonic() + 100
            while len(list(told.parent.glob("*.json"))) < int(os.environ.get("MERZOO_TEST_MEET", 0)) and time.monotonic() < until:
                time.sleep(0.05)
        if os.environ.get("MERZOO_TEST_FAULT"):
            raise TrainingError("counting: a fault that was asked for; ask for none")
        time.sleep(float(os.environ.get("MERZOO_TEST_PAUSE", 0)))
        return super().loss(recognizer, batch, rng)
"""
WITHOUT_RAY = """
class Block:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "ray":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
"""
ARGUMENTS = ("evaluate", "counted", "--preset", "small", "--data", "synthetic:tiny", "--device", "cpu", "--precision", "fp32", "--threads", "1")
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
FOLDS = 4


class Commands:
    """merzoo in processes that know the plugin, and what the folds in them said."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site, self.folder, self.log = site, folder, folder / "log"
        self.log.mkdir()

    def start(self, *arguments: str, before: str = "", **settings: str) -> subprocess.Popen[str]:
        code = f"import sys\n{before}\nfrom merzoo.cli import main\nif __name__ == '__main__':\n    sys.exit(main())"
        script = self.folder / f"{uuid.uuid4().hex}.py"
        script.write_text(code)
        seen = {**os.environ, "PYTHONPATH": path_with(self.site), "MERZOO_TEST_LOG": str(self.log), **settings}
        command = [sys.executable, str(script), *ARGUMENTS, *arguments]
        return subprocess.Popen(command, env=seen, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def run(self, *arguments: str, **settings: str) -> str:
        """Run to the end; what it said on stderr."""
        return finished(self.start(*arguments, **settings))

    def starts(self) -> list[dict]:
        return [json.loads(file.read_text()) for file in self.log.glob("*.json")]

    def begun(self, wanted: Callable[[list[dict]], bool], process: subprocess.Popen[str]) -> list[dict]:
        """What has begun, once that is as wanted."""
        until = time.monotonic() + 120
        while not wanted(found := self.starts()):
            assert process.poll() is None and time.monotonic() < until, process.communicate() if process.poll() is not None else found
            time.sleep(0.05)
        return found


def path_with(site: Path) -> str:
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code and "raylet" not in out + err, f"{out}\n{err}"  # what Ray has to say is in its logs
    return err


def records(run: Path) -> dict[str, tuple]:
    found = {r["fold_id"]: (r["state_sha256"], r["predictions"]) for r in RunFolder.open(run).folds()}
    assert len(found) == FOLDS
    return found


def only_warnings(err: str, *more: str) -> None:
    """One line for the warning that every fold gives, and nothing of Ray's."""
    lines = [line for line in err.splitlines() if not re.search(r": \d+ of \d+$|no node of the cluster has room", line)]  # a busy machine says those too
    assert lines == ["merzoo: warning: counting: an example of a warning", *(f"merzoo: warning: {text}" for text in more)]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    Site(root).distribution("counting", source=PLUGIN)
    (root / "counting_strategy.py").write_text(STRATEGY)
    return root


@pytest.fixture
def commands(plugin: Path, tmp_path: Path) -> Commands:
    return Commands(plugin, tmp_path)


@pytest.fixture(scope="module")
def local(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """The records of a local run in one process."""
    there = Commands(plugin, tmp_path_factory.mktemp("local"))
    only_warnings(there.run("--out", "run", "--jobs", "1"))
    return records(there.folder / "run")


@pytest.fixture(scope="module")
def cluster(plugin: Path, clip_cache: Path) -> Iterator:
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", path_with(plugin))
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        yield made
        made.shutdown()


@pytest.fixture
def nodes(cluster, commands: Commands) -> Iterator:  # type: ignore[no-untyped-def]
    """The cluster with one node besides its head's, of which it has one CPU each. What is started here ends before that node does."""
    node = cluster.add_node(**NODE)
    yield cluster, node
    if node in cluster.worker_nodes:
        cluster.remove_node(node, allow_graceful=False)


def test_two_processes_give_what_one_gives(local: dict, commands: Commands) -> None:
    only_warnings(commands.run("--out", "run", "--jobs", "2", MERZOO_TEST_MEET="2"))
    assert records(commands.folder / "run") == local
    assert len({start["pid"] for start in commands.starts()}) == 2


def test_two_nodes_give_what_one_process_gives(local: dict, nodes: tuple, commands: Commands) -> None:
    only_warnings(commands.run("--out", "run", "--executor", "ray", "--address", nodes[0].address, MERZOO_TEST_MEET="2"))
    assert records(commands.folder / "run") == local
    assert len({start["node"] for start in commands.starts()}) == 2
    assert json.loads((commands.folder / "run" / "run.json").read_text())["environment"]["threads"] == 1


def test_a_node_that_dies_costs_the_fold_in_flight(local: dict, nodes: tuple, commands: Commands) -> None:
    cluster, node = nodes
    process = commands.start("--out", "run", "--executor", "ray", "--address", cluster.address, MERZOO_TEST_PAUSE="0.5")
    commands.begun(lambda found: any(start["node"] == node.node_id for start in found), process)
    cluster.remove_node(node, allow_graceful=False)
    finished(process)
    assert records(commands.folder / "run") == local
    times = Counter(tuple(start["subjects"]) for start in commands.starts())
    assert sorted(times.values()) == [1] * (FOLDS - 1) + [2]


def test_a_worker_that_is_killed_costs_its_fold(local: dict, nodes: tuple, commands: Commands) -> None:
    process = commands.start("--out", "run", "--executor", "ray", "--address", nodes[0].address, MERZOO_TEST_PAUSE="0.5")
    os.kill(commands.begun(bool, process)[0]["pid"], signal.SIGKILL)
    finished(process)
    assert records(commands.folder / "run") == local
    assert sorted(Counter(tuple(start["subjects"]) for start in commands.starts()).values()) == [1] * (FOLDS - 1) + [2]


def test_an_error_of_a_fold_ends_the_run_with_its_line(nodes: tuple, commands: Commands) -> None:
    err = finished(commands.start("--out", "run", "--executor", "ray", "--address", nodes[0].address, MERZOO_TEST_FAULT="1"), 2)
    assert err.splitlines()[-1] == "merzoo: counting: a fault that was asked for; ask for none" and "Traceback" not in err
    assert not list((commands.folder / "run").glob("folds/*/*.json"))
    assert max(Counter(tuple(start["subjects"]) for start in commands.starts()).values()) == 1  # it is not tried again


@pytest.mark.parametrize("how", [("--executor", "ray"), ("--jobs", "2")], ids=["ray", "processes"])
def test_ctrl_c_leaves_no_process_and_a_run_that_goes_on(local: dict, commands: Commands, how: tuple[str, ...]) -> None:
    mark = uuid.uuid4().hex
    process = commands.start("--out", "run", *how, MERZOO_TEST_PAUSE="0.5", MERZOO_TEST_MARK=mark)
    commands.begun(lambda found: len(found) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    err = finished(process, 130)
    assert err.splitlines()[-1] == "merzoo: interrupted; a run folder goes on with the same command and --resume" and "Traceback" not in err
    until = time.monotonic() + 60
    while (left := marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
    commands.run("--out", "run", "--resume", "--jobs", "1")
    assert records(commands.folder / "run") == local


def marked(mark: str) -> list[str]:
    """Command lines of processes that were started, by whomever, from the one with this mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " ")[:200])
        except OSError:
            continue
    return found


def test_a_node_of_another_kind_is_told_once(local: dict, cluster, commands: Commands, plugin: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import platform\nplatform.python_version = lambda: '3.11.99'\n")
    node = cluster.add_node(**NODE, env_vars={"PYTHONPATH": os.pathsep.join([str(other), path_with(plugin)])})
    try:
        err = commands.run("--out", "run", "--executor", "ray", "--address", cluster.address, MERZOO_TEST_MEET="2")
    finally:
        cluster.remove_node(node, allow_graceful=False)
    assert [("3.11.99" in line, "may differ in the last bits" in line) for line in err.splitlines() if "differs from others" in line] == [(True, True)]


def test_what_cannot_be_is_one_line(commands: Commands) -> None:
    err = finished(commands.start("--out", "run", "--executor", "ray", before=WITHOUT_RAY), 2)
    assert err == "merzoo: --executor ray needs Ray, which is not installed: pip install 'merzoo[ray]'\n"
    for arguments, words in (
        (("--executor", "rey"), "neither local nor ray"),
        (("--gpus", "0.5"), "add --executor ray"),
        (("--address", "host:6379"), "add --executor ray"),
        (("--threads", "9999"), "cores; give at most"),
        (("--executor", "ray", "--address", "ray://host:10001"), "on a node of the cluster"),
        (("--executor", "ray", "--address", "nowhere"), "is no HOST:PORT"),
        (("--executor", "ray", "--address", "127.0.0.1:1"), "no cluster of Ray at 127.0.0.1:1"),
        (("--executor", "ray", "--device", "cpu", "--threads", "900"), "a fold wants 900 CPUs"),
    ):
        err = finished(commands.start("--out", "run", *arguments), 2)
        assert words in err and len(err.splitlines()) == 1


def test_folders_that_a_node_does_not_see_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_worker, "PATIENCE", 0.0)
    with pytest.raises(RunError, match=r"does not see the run folder .*/run; give --out"):
        ray_worker._check_seen(ray_worker.Site("", {}, str(tmp_path / "run")))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"does not see the clip store .*/none; give MERZOO_CACHE"):
        ray_worker._check_seen(ray_worker.Site("", {}, str(tmp_path), [str(tmp_path / "none")]))
