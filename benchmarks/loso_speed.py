"""How fast the engine goes through leave-one-subject-out on CASME II's shape: 247 clips, 26 subjects, 5 classes, made of noise.

    python benchmarks/loso_speed.py [--quick] [--model resnet18|ststnet|miacnet] [--precision auto|fp32|bf16] [--device auto|cpu|cuda] [--jobs N] [--json]
    python benchmarks/loso_speed.py --against PLAIN_LOOP.py [--models …] [--rounds 3] [--quick]      writes results/loso_speed.json, or --out FILE

One run prints one line. `seconds_per_fold_epoch` is wall time over folds times epochs: making the network, training, the test pass, records. Left out are the
first fold of each process, in which modules are imported, views made and memory is first touched, and decoding the clips. `floor_seconds` is the least time
that the operations or the moved bytes of that work can take at the rates of a large matrix product and a large copy, measured in the same process. The whole
is 26 folds of 50 epochs; --quick is 2 of 2.

--against alternates the engine (fp32, then its default precision) with another loop: a script that takes --model, --size, --folds and --epochs, prints JSON
with `seconds_per_fold_epoch`, and is run as it is; for miacnet, which it does not know, its function `make` is replaced. Where `meb` can be imported, its
validator of emotions takes part with the same networks, as its defaults have it: two workers, fp32, and after training a pass over the training clips too; with
AdamW, as the others. Ratios are of medians over the rounds.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RESULTS = Path(__file__).resolve().parent / "results" / "loso_speed.json"
CLIPS, SUBJECTS, CLASSES = 247, 26, 5  # CASME II's shape
EPOCHS = 50  # of a whole run
OURS = ("fp32", "auto")  # precisions of the engine beside another loop
SIZES = {"resnet18": 112, "ststnet": 28, "miacnet": 224}  # px of the input


@dataclass(frozen=True)
class Noise:
    """Clips of two frames of noise, the second a little away from the first."""

    name: str = "noise"

    @property
    def source_hash(self) -> str:
        """Of what decides the frames."""
        return hashlib.sha256(f"noise {CLIPS} {SUBJECTS}".encode()).hexdigest()

    def lengths(self) -> Mapping[str, int]:
        """Two frames each."""
        return {f"noise/{clip:03d}": 2 for clip in range(CLIPS)}

    def crops(self, sample_id: str, preprocessing: Any) -> np.ndarray:
        """uint8 [2, size, size, 3]."""
        rng = np.random.default_rng(list(sample_id.encode()))
        first = rng.integers(0, 256, (preprocessing.size, preprocessing.size, 3))
        return np.stack([first, np.clip(first + rng.integers(-8, 9, first.shape), 0, 255)]).astype(np.uint8)


@dataclass(frozen=True)
class Shape:
    """A data set of CASME II's shape: as many clips, subjects and classes."""

    name: str = "noise"
    part: str = ""
    labels: tuple[str, ...] = tuple(f"class {number}" for number in range(CLASSES))
    task: Any = "classes"
    provides: Sequence[str] = ()

    @property
    def sources(self) -> Sequence[Noise]:
        """One."""
        return (Noise(),)

    @property
    def manifest_hash(self) -> str:
        """Of its source."""
        return Noise().source_hash

    def table(self) -> pd.DataFrame:
        """Subjects in turn, classes drawn."""
        labels = np.random.default_rng(0).integers(0, CLASSES, CLIPS)
        rows = [
            {"sample_id": f"noise/{at:03d}", "dataset": "noise", "subject": f"noise/{at % SUBJECTS:02d}", "clip_id": f"{at:03d}", "kind": "micro", "start": 0}
            | {"peak": 1, "stop": 1, "fps": 200.0, "frames": 2, "emotion": self.labels[labels[at]], "aus": None, "corrections": ""}
            for at in range(CLIPS)
        ]
        return pd.DataFrame(rows)


def specification(model: str, epochs: int) -> Any:
    """The model at the size that is timed, with a budget of `epochs`."""
    from merzoo.registry import registry
    from merzoo.specs import Preprocessing, Preset

    size = SIZES[model]
    name = {"resnet18": "resnet18-difference"}.get(model, model)
    spec = registry().model(name)
    full = spec.preset("full")
    strategy = {**full.strategy, "epochs": epochs, "batch_size": 32}
    preset = Preset({**full.backbone, "size": size}, full.head, full.auxiliary, strategy, Preprocessing(size=size * 8 // 7))
    return dataclasses.replace(spec, presets={"full": preset})


def engine(model: str, precision: str, device: str, folds: int, epochs: int, jobs: int) -> dict[str, Any]:
    """One run of `merzoo.evaluate` in this process: `folds` of them timed, after one in each process that is not."""
    import torch

    from merzoo.cli.evaluate import auto_jobs
    from merzoo.data.sources import open_clips
    from merzoo.evaluation.evaluate import evaluate

    jobs = jobs or auto_jobs(device)
    data, spec = Shape(), specification(model, epochs)
    subjects = sorted(data.table()["subject"].unique())
    done: list[float] = []
    working, all_there = set(), threading.Event()

    def report(what: str, so_far: int, total: int) -> None:
        if what == "folds":
            done.append(time.perf_counter())
        elif jobs > 1 and what.startswith("process "):  # nothing is timed before all processes are at work
            working.add(what.partition(",")[0])
            if len(working) == jobs:
                all_there.set()
            elif what.startswith("process 1"):
                all_there.wait(120)

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MERZOO_CACHE"] = f"{scratch}/cache"
        open_clips(data, spec.preset("full").preprocessing)
        chosen = fold_ids(data, subjects[: min(folds + jobs, SUBJECTS)])
        result = evaluate(spec, data, "loso", out=f"{scratch}/run", device=device, precision=precision, jobs=jobs, only=chosen, report=report)
        facts = json.loads(Path(scratch, "run", "run.json").read_text())
    timed = len(chosen) - jobs  # done[0] is told before the first fold, done[jobs] after as many folds as there are processes
    seconds = (done[-1] - done[jobs]) / (timed * epochs)
    environment = facts["environment"]
    floor = floor_seconds(spec, facts["precision"], device, epochs)
    return {
        "loop": "merzoo", "model": model, "size": SIZES[model], "precision": facts["precision"], "device": environment["device"],
        "seconds_per_fold_epoch": round(seconds, 4), "floor_seconds": round(floor["seconds"], 4), "floor_share": round(floor["seconds"] / seconds, 3),
        "floor": floor,
        "folds": timed, "epochs": epochs, "jobs": jobs, "threads": environment["threads"], "complete": result["complete"],
        "clips": CLIPS, "subjects": SUBJECTS, "cpu": environment["cpu"], "torch": torch.__version__,
    }  # fmt: skip


def floor_seconds(spec: Any, precision: str, device: str, epochs: int) -> dict[str, float]:
    """The least time of a fold-epoch, and what it is made of.

    Operations: of convolutions and products, forward once and backward twice, over the training clips, and forward for a test clip an `epochs`-th of the time.
    Bytes: what layers give is written and read once forward and once backward; each step reads weights, gradients and both of AdamW's moments and
    writes three of them, and reads the gradients once more for their norm. The later of the two, as if they overlapped (our choice).
    """
    import torch

    from merzoo.benchmark.arithmetic import flops_of, roofline
    from merzoo.benchmark.clock import Clock
    from merzoo.recognizer import assemble
    from merzoo.training.machine import Machine

    where = Machine.of(device, precision)
    torch.set_num_threads(os.cpu_count() or 1)
    network = assemble(spec, "full", Shape().labels).eval()
    given: list[int] = []
    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda module, args, out: given.append(out.numel() if isinstance(out, torch.Tensor) else 0))
    one = {name: torch.zeros(1, *shape) for name, shape in network.backbone.inputs.items()}
    with torch.no_grad():
        network(one)
    numbers, flops = sum(given), flops_of(network, one) or 0
    train = CLIPS - CLIPS // SUBJECTS
    steps = -(-train // 32)
    parameters = sum(p.numel() for p in network.parameters())
    rates = roofline(Clock(where.device))
    operations = flops * (3 * train + CLIPS // SUBJECTS / epochs)
    moved = numbers * train * 4 * (2 if precision == "bf16" else 4) + steps * parameters * 4 * 8
    rate, bandwidth = rates["matmul_flops_per_second"][precision], rates["copy_bytes_per_second"]
    return {
        "flops": operations, "bytes": moved, "flops_per_second": rate, "bytes_per_second": bandwidth,
        "seconds_of_flops": operations / rate, "seconds_of_bytes": moved / bandwidth, "seconds": max(operations / rate, moved / bandwidth),
    }  # fmt: skip


def fold_ids(data: Shape, subjects: Sequence[str]) -> list[str]:
    """The folds that test these people."""
    from merzoo.evaluation.catalogue import protocol_by_name

    made = protocol_by_name("loso", "classes")(data.table())
    return [fold.fold_id for fold in made.folds if set(fold.test_subjects) <= set(subjects)]


def against(loop: Path, models: Sequence[str], rounds: int, folds: int, epochs: int, device: str, jobs: int, out: Path) -> None:
    """Alternate, print each line as it comes, and write all with the ratios."""
    found: dict[str, Any] = {}
    for model in models:
        asked = ["--model", model, "--folds", str(folds), "--epochs", str(epochs)]
        runs: dict[str, list[dict[str, Any]]] = {"plain": [], **({"meb": []} if importlib.util.find_spec("meb") else {}), **{which: [] for which in OURS}}
        for _ in range(rounds):
            for which, lines in runs.items():
                if which in OURS:
                    command = [__file__, *asked, "--precision", which, "--device", device, "--jobs", str(jobs)]
                elif which == "meb" or model == "miacnet":
                    command = [__file__, f"--as-{which}", str(loop), *asked]
                else:
                    command = [str(loop), *asked, "--size", str(SIZES[model])]
                printed = subprocess.check_output([sys.executable, "-W", "ignore", *command], text=True)
                lines.append(json.loads(printed.splitlines()[-1]))
                print(json.dumps(lines[-1]), flush=True)
        median = {which: statistics.median(line["seconds_per_fold_epoch"] for line in lines) for which, lines in runs.items()}
        ratios = {other: {which: round(median[other] / median[which], 2) for which in OURS} for other in runs if other not in OURS}
        found[model] = {"ratios": ratios, "median_seconds_per_fold_epoch": median, "folds": folds, "epochs": epochs, "runs": runs}
        for other, ratio in ratios.items():
            print(f"{model} against {other}: {ratio['fp32']}x in fp32, {ratio['auto']}x in {runs['auto'][0]['precision']}", flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def loaded(loop: Path, model: str, epochs: int) -> Any:
    """The other loop as a module, whose `make` gives its own network; for miacnet ours, which sees the one picture that the loop has at each of its moments."""
    from torch import Tensor, nn

    from merzoo.recognizer import assemble

    class OnePicture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = assemble(specification(model, epochs), "full", Shape().labels)

        def forward(self, x: Tensor) -> Tensor:
            return self.network({name: x[:, None].expand(-1, shape[0], -1, -1, -1) for name, shape in self.network.backbone.inputs.items()})

    made = importlib.util.spec_from_file_location("plain_loop", loop)
    assert made is not None and made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    if model == "miacnet":
        module.make = lambda name: OnePicture()  # type: ignore[attr-defined]
    return module


def as_plain(loop: Path, model: str, folds: int, epochs: int) -> None:
    """Run the other loop with a network that it does not know."""
    module = loaded(loop, model, epochs)
    sys.argv = [str(loop), "--model", model, "--size", str(SIZES[model]), "--folds", str(folds), "--epochs", str(epochs)]
    module.main()


def as_meb(loop: Path, model: str, folds: int, epochs: int) -> None:
    """Run the folds by meb's validator, with the networks of the other loop, and print what that would."""
    import torch
    from meb import core, utils

    class Config(core.Config):  # type: ignore[misc]
        action_units = None
        criterion = torch.nn.CrossEntropyLoss
        evaluation_fn = partial(utils.MultiClassF1Score, average="macro")
        optimizer = partial(torch.optim.AdamW, lr=1e-4)

    Config.model, Config.epochs = partial(loaded(loop, model, epochs).make, model), epochs
    validator = core.IndividualDatasetEmotionValidator(Config, verbose=False)
    validator.disable_tqdm = True
    size, rng = SIZES[model], np.random.default_rng(0)
    pictures, labels = rng.standard_normal((CLIPS, 3, size, size), np.float32), rng.integers(0, CLASSES, CLIPS)
    table = pd.DataFrame({"subject": np.arange(CLIPS) % SUBJECTS})
    start = time.perf_counter()
    for subject in range(folds):
        validator.validate_split(table, pictures, labels, subject)
    seconds = (time.perf_counter() - start) / (folds * epochs)
    print(json.dumps({"loop": "meb", "model": model, "size": size, "seconds_per_fold_epoch": round(seconds, 4), "clips": CLIPS, "subjects": SUBJECTS,
                      "device": str(Config.device), "torch": torch.__version__}))  # fmt: skip


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 folds of 2 epochs")
    parser.add_argument("--model", choices=[*SIZES], default="resnet18")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=0, help="folds at once; 0: as `merzoo evaluate` does")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--json", action="store_true", help="the default: one JSON line")
    parser.add_argument("--against", type=Path, metavar="LOOP")
    parser.add_argument("--models", nargs="*", choices=[*SIZES], default=["ststnet", "resnet18"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--as-plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-meb", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folds, epochs = args.folds or (2 if args.quick else SUBJECTS), args.epochs or (2 if args.quick else EPOCHS)
    if args.as_plain:
        as_plain(args.as_plain, args.model, folds, epochs)
    elif args.as_meb:
        as_meb(args.as_meb, args.model, folds, epochs)
    elif args.against:
        against(args.against, args.models, args.rounds, folds, epochs, args.device, args.jobs, args.out)
    else:
        print(json.dumps(engine(args.model, args.precision, args.device, folds, epochs, args.jobs)))


if __name__ == "__main__":
    main()
