"""Training by processes that torchrun started: the curve of one process, resumed by more or fewer, and an error of one is the end of all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Site
from merzoo.data.clips import ClipData, Clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.recognizer import build
from merzoo.training.data import TrainingData
from merzoo.training.distributed import WEIGHT, Share, _SharedLoss, divisible, part_of, synchronised
from merzoo.training.world import World
from merzoo.weights import read

GROUPED = '''
import os
import signal

import torch
from torch import nn

from merzoo.builtin.supervised import Supervised
from merzoo.errors import DataError
from merzoo.interfaces import Backbone, Features
from merzoo.specs import View

calls = 0


def harm(x):
    """What HARM=WHAT,CALL,RANK asks for; and in NOTES, a random number of each process at each call."""
    global calls
    calls += 1
    what, at, rank = os.environ.get("HARM", "nothing,0,0").split(",")
    me = os.environ.get("RANK", "0")
    if "NOTES" in os.environ:
        with open(f"{os.environ['NOTES']}-{me}", "a") as file:
            print(len(x), float(torch.rand(())), file=file)
    if calls != int(at) or me != rank:
        return x
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise DataError("clip 7 cannot be read; mend it")
    return x * float("nan") if what == "nan" else x


class Grouped(Backbone):
    def __init__(self, size: int = 48, batch_norm: bool = False) -> None:
        super().__init__()
        self.inputs = {"frames": (2, 3, size, size)}
        self.views = {"frames": View("keyframes", {"moments": ["start", "peak"]})}
        norm = nn.BatchNorm2d(8) if batch_norm else nn.GroupNorm(2, 8)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), norm, nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU())

    def forward(self, batch):
        frames = batch["frames"]
        change = frames[:, 1] - frames[:, 0]
        maps = self.layers(harm(change) if torch.is_grad_enabled() else change)
        return Features(pooled={"frames": maps.mean((2, 3))}, maps={"frames": maps}, extras={"pair-code": maps})


class Contrast(Supervised):
    """A loss of a batch as a whole."""

    def loss(self, recognizer, batch, rng):
        loss, logs = super().loss(recognizer, batch, rng)
        return loss - recognizer.backbone(batch).only_pooled().var(0).mean(), logs


def merzoo_register(register):
    register.backbone("grouped", "grouped:Grouped", provides=("pooled", "maps", "pair-code"), summary="two convolutions")
    register.strategy("contrast", "grouped:Contrast", needs=("emotion-labels", "pooled"), summary="a loss of whole batches")
'''
ALERT = """
import time

from merzoo.training import world

world.join("cpu")[0].meet()  # no earlier than all have imported torch
world.EVERY = 0
time.sleep(1)
"""
RUNS = """
import json
import os
import signal
import sys

from merzoo.cli.guard import guarded  # it ends as a command does
from merzoo.evaluation.evaluate import evaluate
from merzoo.training.engine import state_hash
from merzoo.training.train import train

def runs():
    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rank = os.environ.get("RANK", "0")
    for out, model, options in json.loads(sys.argv[1]):
        elsewhere, scored = options.pop("elsewhere", out), options.pop("evaluate", False)
        options |= {"out": out if rank == "0" else elsewhere, "precision": "fp32", "device": "cpu", "checkpoint_seconds": 0}
        if scored:
            evaluate(model, "synthetic:tiny", **options)
            continue
        recognizer = train(model, "synthetic:tiny", **options)
        with open(f"{out}-{rank}.sha256", "w") as file:
            file.write(state_hash(recognizer))

if __name__ == "__main__":
    sys.exit(guarded(runs))
"""
SUPERVISED = "grouped+linear+supervised,strategy.epochs=3,strategy.batch_size={}"
ALONE = "merzoo: warning: stage 'supervised' is not known to be divisible, so the first process trains it alone while the others wait"
MODEL = SUPERVISED.format(3)
PRETEXT = (
    "grouped+linear+ma2mi+future-frame,strategy.pretext.steps=11,strategy.pretext.batch_size=5,strategy.fine_tuning.epochs=2,"
    "future-frame.target=pixel,future-frame.size=48,future-frame.width=32,future-frame.depth=1,future-frame.heads=2"
)
Run = tuple[str, str, dict[str, Any]]  # out, model, options of `train`
Done = subprocess.CompletedProcess[str]


class Launcher:
    """Runs of the test's plugin, by one process or by several."""

    def __init__(self, site: Site) -> None:
        self.root = site.root
        site.distribution("grouped", source=GROUPED)
        (self.root / "runs.py").write_text(RUNS, encoding="utf-8")

    def __call__(self, processes: int, *arguments: str, **environment: str) -> Done:
        """`python ARGUMENTS`, or the same by torchrun."""
        many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
        path = os.pathsep.join(filter(None, (str(self.root), os.environ.get("PYTHONPATH"))))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MERZOO_") or key == "MERZOO_CACHE"}
        command = [sys.executable, *many, *arguments]
        return subprocess.run(command, env={**kept, "PYTHONPATH": path, **environment}, cwd=self.root, capture_output=True, text=True, timeout=300, check=False)

    def train(self, processes: int, *runs: Run, **environment: str) -> Done:
        return self(processes, "runs.py", json.dumps(runs), **environment)

    def rows(self, out: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / out / "log.jsonl").read_text().splitlines()]

    def weights(self, out: str) -> dict[str, torch.Tensor]:
        return read(self.root / out / "weights.safetensors")[0]

    def same(self, a: str, b: str, exactly: bool = False) -> None:
        """Check that two runs have one loss curve and one set of weights."""
        one, other = self.rows(a), self.rows(b)
        assert len(one) > 2 and [(row["stage"], row["step"]) for row in one] == [(row["stage"], row["step"]) for row in other]
        assert [row["loss"] for row in one] == ([row["loss"] for row in other] if exactly else pytest.approx([row["loss"] for row in other], rel=2e-5))
        first, second = self.weights(a), self.weights(b)
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]) if exactly else torch.allclose(value, second[name], rtol=1e-3, atol=2e-5), name


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return Launcher(Site(tmp_path_factory.mktemp("site")))


@pytest.fixture(scope="module")
def whole(launch: Launcher) -> str:
    """A run of `MODEL` by one process."""
    good(launch.train(1, ("whole", MODEL, {}), NOTES=str(launch.root / "whole-notes")))
    return "whole"


def lines(done: Done) -> list[str]:
    """What merzoo itself says on stderr."""
    return [line for line in done.stderr.splitlines() if line.startswith("merzoo: ")]


def good(done: Done) -> Done:
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes_have_the_loss_curve_and_the_weights_of_one(launch: Launcher) -> None:
    """Batches of 3 and 2 make unequal shares, of 1 an empty one. A loss that is no mean over samples is left to the first process, to the last bit."""
    models = {
        "even": SUPERVISED.format(4),
        "unequal": SUPERVISED.format(3),
        "empty": SUPERVISED.format(1),
        "pretext": PRETEXT,
        "contrast": SUPERVISED.format(4).replace("supervised", "contrast"),
    }
    for processes in (1, 2):
        done = good(launch.train(processes, *((f"{name}-{processes}", model, {"threads": 1, "elsewhere": "elsewhere"}) for name, model in models.items())))
        assert lines(done) == ([ALONE] * (processes > 1))
    for name in models:
        launch.same(f"{name}-2", f"{name}-1", exactly=name == "contrast")
        assert json.loads((launch.root / f"{name}-2" / "run.json").read_text())["environment"]["processes"] == 2
        assert len({(launch.root / f"{name}-2-{rank}.sha256").read_text() for rank in range(2)}) == 1  # the network that each process is given back
    assert not (launch.root / "elsewhere").exists()  # where all but the first would write
    assert "processes" not in json.loads((launch.root / "even-1" / "run.json").read_text())["environment"]


def test_each_process_sees_its_share_and_draws_noise_of_its_own(launch: Launcher, whole: str) -> None:
    good(launch.train(2, ("two", MODEL, {}), NOTES=str(launch.root / "two-notes")))
    alone, first, second = ((launch.root / name).read_text().split() for name in ("whole-notes-0", "two-notes-0", "two-notes-1"))
    assert [int(n) for n in alone[::2]] == [int(a) + int(b) for a, b in zip(first[::2], second[::2], strict=True)]
    assert set(first[::2]) == {"1"} and set(second[::2]) == {"1", "2"}
    assert first[1::2] == alone[1::2] and not set(first[1::2]) & set(second[1::2])


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_is_resumed_by_more_or_fewer_processes(launch: Launcher, whole: str, before: int, after: int) -> None:
    run = f"{before}-to-{after}"
    killed = launch.train(before, (run, MODEL, {}), HARM=f"kill,9,{before - 1}")
    gone = "merzoo: another process of this run is gone, and torchrun tells which; start them again with --resume"
    assert killed.returncode != 0 and set(lines(killed)) <= {gone}  # torchrun may end the others first
    assert read(launch.root / run / "checkpoint.safetensors")[1]["inside"]["step"] in ((7, 8) if before == 2 else (8,))  # torchrun may end its writer
    if after == 2:
        failed = launch.train(2, (run, MODEL, {"resume": True, "elsewhere": "elsewhere"}))
        assert failed.returncode == 1 and "process 1 does not see the checkpoint" in lines(failed)[-1]
    resumed = good(launch.train(after, (run, MODEL, {"resume": True})))
    (warning,) = lines(resumed)
    assert f"processes is {before} there and {after} here" in warning
    launch.same(run, whole)
    assert not (launch.root / run / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(("harm", "told"), [("raise", "clip 7 cannot be read; mend it"), ("nan", "step 8 of 18: the loss is nan; its clips: ")])
def test_an_error_of_one_process_is_one_line_and_the_end_of_all(launch: Launcher, whole: str, harm: str, told: str) -> None:
    failed = launch.train(2, (harm, MODEL, {}), HARM=f"{harm},9,1")
    (line,) = lines(failed)
    assert failed.returncode == 1 and told in line, failed.stderr
    if harm == "nan":  # all have met it, and the first tells it, who has kept the state
        assert f"the state before it is kept in {Path(harm) / 'checkpoint.safetensors'}" in line and line.count("/c") == 4  # a path, and three clips
    good(launch.train(2, (harm, MODEL, {"resume": True})))
    launch.same(harm, whole)


def test_whoever_waits_for_the_first_process_ends_with_it(launch: Launcher) -> None:
    """Not by torchrun, which stops nothing on another machine: here nobody listens to it."""
    contrast = MODEL.replace("supervised", "contrast")
    failed = launch.train(2, ("waiting", contrast, {}), HARM="raise,9,0", STUBBORN="yes")
    assert failed.returncode == 1 and lines(failed)[-1] == "merzoo: clip 7 cannot be read; mend it" and len(lines(failed)) == 2
    assert "SIGKILL" not in failed.stderr and failed.stderr.count("exitcode  : 2 ") == 2


def test_a_process_that_asks_for_errors_of_others_all_the_time_ends_well(launch: Launcher) -> None:
    """Python that ends while a thread of it is inside the store is a SIGABRT."""
    (launch.root / "alert.py").write_text(ALERT, encoding="utf-8")
    good(launch(4, "alert.py"))


def test_a_wrong_command_is_told_once(launch: Launcher) -> None:
    failed = launch(2, "-m", "merzoo", "train", "grouped+linear+supervised", "--data", "nowhere", "--out", "run")
    (line,) = lines(failed)
    assert failed.returncode == 1 and "unknown dataset 'nowhere'" in line
    for command, model, stage in (("train", MODEL, "supervised"), ("evaluate", PRETEXT, "pretext")):
        failed = launch(2, "-m", "merzoo", command, f"{model},backbone.batch_norm=true", "--data", "synthetic:tiny", "--out", "run", "--device", "cpu")
        (line,) = lines(failed)
        assert failed.returncode == 1 and line == (
            f"merzoo: stage '{stage}': backbone.layers.1 is a batch norm, and each of 2 processes would see its share of the batch alone; "
            "train in one process, on GPUs, or with a backbone that has no-running-statistics"
        )
    assert not (launch.root / "run").exists()


def test_an_evaluation_shares_the_pretext_and_deals_out_the_folds(launch: Launcher) -> None:
    command = ("-m", "merzoo", "evaluate", PRETEXT, "--data", "synthetic:tiny", "--seeds", "2", "--device", "cpu", "--precision", "fp32", "--json", "--out")
    alone = json.loads(good(launch(1, *command, "folds-1", "--jobs", "1", NOTES=str(launch.root / "folds-1-notes"))).stdout)
    done = good(launch(2, *command, "folds-2", NOTES=str(launch.root / "folds-2-notes")))
    assert lines(done) == []
    shared = json.loads(done.stdout)  # of one process: the others print nothing
    assert shared["complete"] and shared["scores"]["uf1"]["value"] == pytest.approx(alone["scores"]["uf1"]["value"])
    seen = [sum(int(n) for n in (launch.root / name).read_text().split()[::2]) for name in ("folds-1-notes-0", "folds-2-notes-0", "folds-2-notes-1")]
    assert seen[0] == seen[1] + seen[2] and min(seen) > 0  # no step was taken twice
    folds = {path.relative_to(launch.root / "folds-1") for path in (launch.root / "folds-1" / "folds").glob("*/*.json")}
    assert len(folds) == 8
    for name in folds:
        one, two = (json.loads((launch.root / run / name).read_text()) for run in ("folds-1", "folds-2"))
        assert [(stage["name"], stage["steps"]) for stage in one["stages"]] == [(stage["name"], stage["steps"]) for stage in two["stages"]]
        for a, b in zip(one["predictions"], two["predictions"], strict=True):
            assert a["sample_id"] == b["sample_id"] and a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-4)
    stood = {name: (launch.root / "folds-2" / name).stat().st_mtime_ns for name in folds}
    assert not (launch.root / "folds-2" / "checkpoints").exists()
    resumed = good(launch(1, *command, "folds-2", "--resume"))
    assert json.loads(resumed.stdout)["scores"] == shared["scores"]
    assert stood == {name: (launch.root / "folds-2" / name).stat().st_mtime_ns for name in folds}


def test_a_run_folder_that_only_the_first_process_sees_is_refused(launch: Launcher) -> None:
    failed = launch.train(2, ("seen", MODEL, {"elsewhere": "unseen", "evaluate": True}))
    (line,) = lines(failed)
    assert failed.returncode == 1 and "process 1 does not see unseen; put --out on a file system that all processes share" in line


@pytest.mark.parametrize(("size", "samples"), [(1, 5), (2, 5), (3, 7), (3, 2), (4, 1)])
def test_shares_are_whole_and_weigh_one_together(size: int, samples: int) -> None:
    parts = [part_of(World(rank, size), samples) for rank in range(size)]
    held = [n for part, weight in parts for n in range(samples)[part] if weight]
    assert held == [*range(samples)]
    values = torch.randn(samples, dtype=torch.float64)
    assert torch.stack([values[part].mean() * weight for part, weight in parts]).mean().item() == pytest.approx(values.mean().item())


@pytest.mark.parametrize("turn", [0.0, 8.0])
def test_a_part_of_a_batch_is_as_it_is_in_the_whole_and_reads_no_more(tiny: ClipData, turn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", 0)  # else views of all are made once
    data = ClipData(tiny.dataset, tiny.preprocessing)
    options = {"batch_size": 5, "augmentation": {"turn": turn}}
    recognizer = build(("timm/test_resnet", {"view": "difference", "size": 48}), strategy=("supervised", options), labels=SyntheticFaces("tiny").labels)
    (stage,) = recognizer.strategy.stages(recognizer, TrainingData.without(data, (), recognizer.train_views))
    assert divisible(stage)
    cpu = torch.device("cpu")
    for step in range(5):
        whole = stage.batches.draw(3, step, cpu)
        assert len(whole["label"]) == stage.batches.samples(step)
        parts = []
        for rank in range(2):
            data.drawn.clear()
            parts.append(Share(stage.batches, World(rank, 2)).draw(3, step, cpu))
            assert len(data.drawn) == len(parts[-1]["label"]) < len(whole["label"])
        assert sum(part.pop(WEIGHT) for part in parts) == 2
        assert all(torch.equal(torch.cat([part[name] for part in parts]), value) for name, value in whole.items())
    assert Clips(data, "micro").subjects


def test_batch_norms_are_told_of_the_other_processes_and_put_back() -> None:
    recognizer = build(("timm/test_resnet", {"view": "difference", "size": 48}), labels=SyntheticFaces("tiny").labels)
    kinds, state = [type(module) for module in recognizer.modules()], dict(recognizer.state_dict(keep_vars=True))
    shared = _SharedLoss(lambda *_: (torch.zeros(()), {}), World(0, 2))
    shared.norms = synchronised(recognizer)
    now = [module for module in recognizer.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(now) == len(shared.norms) > 3 and all(isinstance(module, torch.nn.SyncBatchNorm) for module in now)
    assert {name: id(value) for name, value in recognizer.state_dict(keep_vars=True).items()} == {name: id(value) for name, value in state.items()}
    shared.end(recognizer)
    assert [type(module) for module in recognizer.modules()] == kinds


def test_what_is_not_known_to_be_a_mean_over_samples_is_not_divided(tiny: ClipData) -> None:
    from merzoo.builtin.supervised import Supervised

    class Mine(Supervised):
        def loss(self, *args: Any) -> Any:
            return super().loss(*args)

    recognizer = build(("timm/test_resnet", {"view": "difference", "size": 48}), labels=SyntheticFaces("tiny").labels)
    known = TrainingData.without(tiny, (), recognizer.train_views)
    assert [divisible(strategy.stage(recognizer, known)) for strategy in (Supervised(), Mine())] == [True, False]
