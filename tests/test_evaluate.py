"""Evaluation end to end: resumable at any moment with the same predictions, repeatable fold by fold, and closed to test subjects."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_info

from merzoo.cli.evaluate import show
from merzoo.data.clips import ClipData, Clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import DataError, LeakageError, MerzooWarning, RunError, TrainingError, UnknownNameError, UsageError, WeightsError
from merzoo.evaluation.evaluate import _threads, evaluate
from merzoo.evaluation.executors import Processes
from merzoo.evaluation.folds import Plan, prepare, run_fold, run_scope
from merzoo.evaluation.predicting import audited as checked
from merzoo.evaluation.predicting import positions, predict_clips
from merzoo.evaluation.protocols import Fold, Protocol, fold_id
from merzoo.evaluation.runs import RunFolder, predictions, result
from merzoo.evaluation.splits import loso
from merzoo.evaluation.threads import capped
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, View
from merzoo.testing.runs import clip_table, facts, write_run
from merzoo.training.engine import Progress, state_hash
from merzoo.training.flips import flipped
from merzoo.training.machine import Machine
from merzoo.training.train import train
from merzoo.weights import read, write

SPEC = ModelSpec(
    name="tiny-resnet",
    summary="for tests",
    backbone="timm/test_resnet",
    train_views={"difference": (View("difference"),)},
    presets={
        "full": Preset(
            backbone={"view": "difference", "size": 48},
            strategy={"epochs": 2, "batch_size": 6},
            preprocessing=Preprocessing(size=64),
        )
    },
)
WHOLE = """
import sys
sys.path.insert(0, {folder!r})
from test_evaluate import SPEC
from merzoo.evaluation.evaluate import evaluate
import dataclasses
spec = dataclasses.replace(SPEC, presets={{"full": dataclasses.replace(SPEC.presets["full"], strategy={{"epochs": 6, "batch_size": 6}})}})
evaluate(spec, "synthetic:tiny", out=sys.argv[1], seeds=1, resume=True, precision="fp32", jobs={jobs}, checkpoint_seconds=0.05, audit=True)
"""


def rows(folder: Path) -> list:
    found = predictions(RunFolder.open(folder))
    return sorted(zip(found.seed.tolist(), found.sample_id.tolist(), found.probabilities.tolist(), strict=True))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    evaluate(SPEC, "synthetic:tiny", out=out, seeds=2, precision="fp32")
    return out


def test_a_run_folder_holds_every_sample_once_a_seed(whole: Path) -> None:
    found = predictions(RunFolder.open(whole))
    assert len(found.sample_id) == 2 * 16
    assert len(set(zip(found.seed.tolist(), found.sample_id.tolist(), strict=True))) == 32
    result = json.loads((whole / "result.json").read_text())
    assert result["complete"] and 0 <= result["scores"]["uf1"]["low"] <= result["scores"]["uf1"]["value"] <= result["scores"]["uf1"]["high"] <= 1
    assert not (whole / "checkpoints").exists()


def test_no_training_subject_is_a_test_subject(whole: Path) -> None:
    for record in RunFolder.open(whole).folds():
        for stage in record["stages"]:
            assert len(stage["subjects"]) == 3
            assert not set(stage["subjects"]) & set(record["test_subjects"])


def test_a_fold_deleted_and_rerun_alone_gives_the_same_predictions(whole: Path, tmp_path: Path) -> None:
    fold = RunFolder.open(whole).protocol.folds[2].fold_id
    evaluate(SPEC, "synthetic:tiny", out=tmp_path / "one", seeds=[1], precision="fp32", only=[fold])
    alone = json.loads((tmp_path / "one" / "folds" / "1" / f"{fold}.json").read_text())
    before = json.loads((whole / "folds" / "1" / f"{fold}.json").read_text())
    assert alone["predictions"] == before["predictions"]
    assert alone["state_sha256"] == before["state_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(tmp_path: Path, jobs: int) -> None:
    script = tmp_path / "script.py"
    body = WHOLE.format(folder=str(Path(__file__).parent), jobs=jobs)
    # Several processes import the script again, so its work stands behind the usual guard.
    head, _, call = body.rpartition("evaluate(spec")
    script.write_text(f'{head}\nif __name__ == "__main__":\n    evaluate(spec{call}')
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, tmp_path / "uninterrupted"], check=True, env=environment)
    killed, inside = tmp_path / "killed", 0
    for kill in range(3):
        process = subprocess.Popen([sys.executable, script, killed], env=environment, start_new_session=True)
        # The first kill comes as soon as a stage stands half done on disk, the others a while after, at moments of their own.
        while process.poll() is None and not half_done(killed):
            time.sleep(0.01)
        time.sleep(kill * 0.37)
        with contextlib.suppress(ProcessLookupError):  # it may have finished
            os.killpg(process.pid, signal.SIGKILL)  # its workers too: they would finish what they are at
        process.wait()
        inside += bool(half_done(killed))
    assert inside >= 1
    subprocess.run([sys.executable, script, killed], check=True, env=environment)
    assert rows(killed) == rows(tmp_path / "uninterrupted")
    kept = [[record["oracle"] for record in RunFolder.open(run).folds()] for run in (killed, tmp_path / "uninterrupted")]
    assert kept[0] == kept[1] and all(len(oracle["epochs"]) == 6 for oracle in kept[0])


def half_done(run: Path) -> list[Path]:
    return list(run.glob("checkpoints/*/*.safetensors"))


@pytest.mark.slow
def test_two_processes_give_the_same_bits_as_one(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, threading\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_evaluate import SPEC\n"
        "from merzoo.evaluation.evaluate import evaluate\n"
        'if __name__ == "__main__":\n    jobs, both = int(sys.argv[2]), threading.Event()\n'
        "    def report(what, done, total):\n"
        '        if what.startswith("process 2"):\n            both.set()\n'
        '        elif what.startswith("process 1"):\n            both.wait(90)\n'  # or one might do it all before the other is there
        '    evaluate(SPEC, "synthetic:tiny", out=sys.argv[1], seeds=[0, 3], jobs=jobs, threads=1, precision="fp32", report=report)\n'
        "    assert both.is_set() == (jobs == 2)\n"
    )
    for jobs in (1, 2):
        subprocess.run([sys.executable, script, tmp_path / str(jobs), str(jobs)], check=True)
    one, two = ({(r["seed"], r["fold_id"]): (r["state_sha256"], r["predictions"]) for r in RunFolder.open(tmp_path / str(j)).folds()} for j in (1, 2))
    assert one == two and len(one) == 8
    assert torch.get_num_threads() == threads


def test_threads_are_as_asked_or_as_they_were(tmp_path: Path) -> None:
    before, fold = torch.get_num_threads(), loso(SyntheticFaces("tiny").table()).folds[0].fold_id
    evaluate(SPEC, "synthetic:tiny", out=tmp_path / "run", precision="fp32", threads=3, only=[fold])
    known = RunFolder.open(tmp_path / "run").facts["environment"]
    assert (known["threads"], known["shared_threads"], torch.get_num_threads()) == (3, 3, before)
    assert _threads(tmp_path / "run", True, 0, (1, 2)) == (3, 3)  # of the run that goes on
    assert _threads(tmp_path / "run", True, 2, (1, 2)) == (2, 2) and _threads(tmp_path / "other", True, 0, (1, 2)) == (1, 2)
    with capped(2):
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}


def plan_of(data: ClipData, folds: tuple[Fold, ...], tmp_path: Path, spec: ModelSpec = SPEC) -> Plan:
    tested = frozenset(s for fold in folds for s in fold.test_subjects)
    return Plan(spec, "full", data.dataset, data.labels, tested, Machine("cpu", "fp32", 1), tmp_path)


@pytest.fixture(scope="module")
def data() -> ClipData:
    return ClipData(SyntheticFaces("tiny"), Preprocessing(size=64))


def test_a_fold_that_does_not_list_whom_it_tests_is_refused(data: ClipData, tmp_path: Path) -> None:
    first, second, *_ = loso(data.table).folds
    tampered = dataclasses.replace(first, test_subjects=second.test_subjects)
    with pytest.raises(LeakageError, match="does not list"):
        run_fold(plan_of(data, (tampered,), tmp_path), data, tampered, 0)


def test_a_fold_of_another_data_set_is_refused(data: ClipData, tmp_path: Path) -> None:
    first = loso(data.table).folds[0]
    foreign = dataclasses.replace(first, test_ids=(*first.test_ids, "elsewhere:1"))
    with pytest.raises(DataError, match="elsewhere:1"):
        run_fold(plan_of(data, (foreign,), tmp_path), data, foreign, 0)


LEAKY = """
from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import Clips
from merzoo.training.batches import LabelledBatches
from merzoo.training.stages import GradientStage, ParameterGroup

class Peeking(Supervised):
    def __init__(self, kind="micro", scope="fold", **options):
        super().__init__(**options)
        self.kind, self.scope = kind, scope

    def stages(self, recognizer, data):
        everybody = Clips(data.micro.data, self.kind)
        batches = LabelledBatches(everybody, recognizer.backbone.inputs, data.views)
        return [GradientStage("peek", batches, self.loss, (ParameterGroup(("backbone",), 1e-3),), steps=1, scope=self.scope)]
"""


@pytest.fixture(scope="module")
def peeking(tmp_path_factory: pytest.TempPathFactory) -> str:
    from merzoo.entries import Register

    folder = tmp_path_factory.mktemp("leaky")
    (folder / "leaky_strategy.py").write_text(LEAKY)
    sys.path.insert(0, str(folder))
    register = Register("leaky")
    register.strategy("peeking", "leaky_strategy:Peeking")
    registry().add(register)
    return "peeking"


@pytest.mark.parametrize("scope", ["fold", "run"])
def test_a_strategy_that_fetches_the_test_subject_back_is_refused(peeking: str, tmp_path: Path, scope: str) -> None:
    preset = dataclasses.replace(SPEC.presets["full"], strategy={"scope": scope})
    spec = dataclasses.replace(SPEC, strategy=peeking, presets={"full": preset})
    with pytest.raises(LeakageError, match="peek"):
        evaluate(spec, "synthetic:tiny", out=tmp_path / "run")
    assert not list((tmp_path / "run").glob("folds/*/*.json"))


def test_a_pretext_on_a_test_subjects_macro_clips_is_refused(peeking: str, data: ClipData, tmp_path: Path) -> None:
    preset = dataclasses.replace(SPEC.presets["full"], strategy={"scope": "run", "kind": "macro"})
    spec = dataclasses.replace(SPEC, strategy=peeking, presets={"full": preset})
    first, *_ = loso(data.table).folds
    macro_subject = str(data.table.loc[data.table["kind"] == "macro", "subject"].iloc[0])
    tampered = dataclasses.replace(first, test_subjects=(*first.test_subjects, macro_subject))
    with pytest.raises(LeakageError, match=macro_subject):
        run_scope(plan_of(data, (tampered,), tmp_path, spec), data, (tampered,), 0)


def test_the_data_that_a_strategy_is_given_holds_no_test_subject(data: ClipData, tmp_path: Path) -> None:
    fold = loso(data.table).folds[0]
    _, (stage,) = prepare(plan_of(data, (fold,), tmp_path), data, fold, 0)
    assert not stage.clips[0].subjects & set(fold.test_subjects)
    assert len(stage.clips[0]) == 12


def test_weights_that_know_a_test_subject_are_refused(tmp_path: Path) -> None:
    subject = loso(SyntheticFaces("tiny").table()).folds[0].test_subjects[0]
    spec = registry().model("resnet18-difference")
    recognizer = build(("timm/resnet18", {"view": "difference", "size": 112}), labels=SyntheticFaces("tiny").labels)
    card = {"model": spec.name, "preset": "small", "labels": list(recognizer.labels), "trained_on": {"subjects": [subject]}}
    path = tmp_path / "seen.safetensors"
    write(path, recognizer.saved(), card)
    with pytest.raises(LeakageError, match=subject):
        evaluate(spec, "synthetic:tiny", out=tmp_path / "run", preset="small", weights=str(path))
    write(path, recognizer.saved(), {**card, "trained_on": {}})
    with pytest.raises(UsageError, match="do not say whom"):
        evaluate(spec, "synthetic:tiny", out=tmp_path / "run", preset="small", weights=str(path))
    assert not (tmp_path / "run").exists()


def test_weights_remember_whom_the_weights_they_began_from_knew(tmp_path: Path) -> None:
    from merzoo.recognizer import assemble

    faces = SyntheticFaces("tiny")
    before, first = assemble(SPEC, "full", faces.labels), tmp_path / "first.safetensors"
    write(first, before.saved(), {"model": SPEC.name, "preset": "full", "labels": list(faces.labels), "trained_on": {"subjects": ["other/1"]}})
    train(SPEC, "synthetic:tiny", out=tmp_path / "run", weights=str(first), precision="fp32", threads=1)
    _, card = read(tmp_path / "run" / "weights.safetensors")
    assert set(card["trained_on"]["subjects"]) == {"other/1", *faces.table()["subject"]}
    assert card["trained_on"]["began_from"] == "first.safetensors"


def test_a_run_with_other_options_under_the_same_name_is_not_resumed(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    preset = dataclasses.replace(SPEC.presets["full"], strategy={"epochs": 3, "batch_size": 6})
    with pytest.raises(RunError, match=r"options\.strategy\.epochs is 2 there and 3 here"):
        evaluate(
            dataclasses.replace(SPEC, presets={"full": preset}), "synthetic:tiny", out=tmp_path / "run", seeds=2, precision="fp32", resume=True
        )


def test_a_strategy_whose_scopes_depend_on_the_fold_is_refused(peeking: str, data: ClipData, tmp_path: Path) -> None:
    preset = dataclasses.replace(SPEC.presets["full"], strategy={"scope": "run", "kind": "macro"})
    fold = loso(data.table).folds[0]
    plan = plan_of(data, (fold,), tmp_path, dataclasses.replace(SPEC, strategy=peeking, presets={"full": preset}))
    with pytest.raises(TrainingError, match=r"run-scope stages are \['peek'\] in fold"):
        run_fold(plan, data, fold, 0, shared=())


def test_a_process_that_dies_is_one_line(data: ClipData, tmp_path: Path) -> None:
    work = Processes(lambda *_: None, 2)
    work.begin(plan_of(data, (loso(data.table).folds[0],), tmp_path), data, 2)
    try:
        with pytest.raises(RunError, match="one of 2 processes ended early"):
            work.drive(lambda: [future.result() for future in wait([work.submit(die_elsewhere) for _ in range(2)], return_when=FIRST_COMPLETED).done])
    finally:
        work.close()


def test_ctrl_c_while_more_is_pending_ends_quietly(data: ClipData, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From Python 3.12 on a pool that breaks must not be called back into, or nothing ever ends."""
    work = Processes(lambda *_: None, 2)
    work.begin(plan_of(data, (loso(data.table).folds[0],), tmp_path), data, 2)
    with pytest.raises(KeyboardInterrupt):
        try:
            work.drive(lambda: [future.result() for future in wait([work.submit(interrupted_here) for _ in range(5)], return_when=FIRST_COMPLETED).done])
        finally:
            work.close()
    assert caplog.text == ""


def test_no_process_is_started_for_a_moment_s_work(data: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merzoo.evaluation.executors.START", 60.0)
    work = Processes(lambda *_: None, 2)
    work.begin(plan_of(data, (loso(data.table).folds[0],), tmp_path), data, 2)
    try:
        work.drive(lambda: [work.submit(nothing).result() for _ in range(2)])
        assert work._pool is None
    finally:
        work.close()


def nothing(plan: Plan, data: ClipData, progress: Progress) -> None:
    """Work that is done at once."""


def interrupted_here(plan: Plan, data: ClipData, progress: Progress) -> None:
    """Ctrl-C in this process, as soon as the other is at work."""
    begun = plan.folder / "begun"
    if multiprocessing.parent_process() is not None:
        begun.touch()
        time.sleep(60)
    while not begun.exists():
        progress("waiting", 0, 1, {})  # raises where the other fails
        time.sleep(0.05)
    raise KeyboardInterrupt


def die_elsewhere(plan: Plan, data: ClipData, progress: Progress) -> None:
    """Kill the process that helps; this one goes on until it hears of that."""
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    while True:
        progress("waiting", 0, 1, {})
        time.sleep(0.05)


def test_train_gives_weights_that_load_and_know_their_subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from merzoo.entries import Register
    from merzoo.loading import load

    if SPEC.name not in [e.name for e in registry().entries("model")]:
        register = Register("tests")
        register.model(SPEC)
        registry().add(register)
    trained = train(SPEC.name, "synthetic:tiny", out=tmp_path / "run", precision="fp32", threads=1)
    loaded = load(SPEC.name, tmp_path / "run" / "weights.safetensors")
    assert state_hash(loaded) == state_hash(trained)
    assert loaded.weights is not None and len(loaded.weights.trained_on["subjects"]) == 4 + 3
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) > 0
    with pytest.raises(RunError, match="finished"):
        train(SPEC.name, "synthetic:tiny", out=tmp_path / "run", precision="fp32", threads=1, resume=True)
    with pytest.raises(LeakageError):
        evaluate(SPEC.name, "synthetic:tiny", out=tmp_path / "again", weights=str(tmp_path / "run" / "weights.safetensors"))


def test_what_cannot_be_run_is_said_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for wrong, error in (
        ({"data": "synthetik"}, UnknownNameError),
        ({"data": "synthetic:benchmrk"}, UnknownNameError),
        ({"protocol": "losso"}, UnknownNameError),
        ({"preset": "huge"}, UnknownNameError),
        ({"seeds": 0}, UsageError),
        ({"weights": "nope"}, UnknownNameError),
        ({"weights": "nowhere/at-all.safetensors"}, WeightsError),
        ({"device": "tpu"}, UsageError),
        ({"only": ["nobody"]}, UnknownNameError),
        ({"protocol": "few-shot-0"}, DataError),
        ({"protocol": "nowhere.json"}, DataError),
        ({"flip_labels": 1.5}, UsageError),
    ):
        with pytest.raises(error):
            evaluate(SPEC, **{"data": "synthetic:tiny", "out": out, **wrong})  # type: ignore[arg-type]
    assert not out.exists()


@pytest.mark.parametrize("fault", ["foreign clip", "unlisted person", "trains on a test subject", "nothing to train on"])
def test_a_manifest_whose_last_fold_is_wrong_leaves_nothing(data: ClipData, tmp_path: Path, fault: str) -> None:
    whole = loso(data.table).folds
    last, other = whole[-1], whole[0]
    changed, error, words = {
        "foreign clip": ({"train_ids": (*other.test_ids, "synthetic:s5000/none")}, DataError, "does not have"),
        "unlisted person": ({"test_subjects": other.test_subjects}, LeakageError, "does not list everybody"),
        "trains on a test subject": ({"train_ids": last.test_ids[1:], "test_ids": last.test_ids[:1]}, LeakageError, "training clips of fold"),
        "nothing to train on": ({"test_subjects": tuple(person for fold in whole for person in fold.test_subjects)}, DataError, "nothing is left"),
    }[fault]
    (tmp_path / "p.json").write_text(json.dumps(Protocol("mine", (*whole[:-1], dataclasses.replace(last, **changed))).to_json()))
    with pytest.raises(error, match=words):
        evaluate(SPEC, "synthetic:tiny", str(tmp_path / "p.json"), out=tmp_path / "run", precision="fp32")
    assert not (tmp_path / "run").exists()


def test_what_was_tested_is_shown_and_of_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = clip_table()
    data = {**facts(table)["data"], "samples": 24}
    show(result(write_run(tmp_path / "all", table, data=data), 5), tmp_path)
    assert "tested: 24 clips, 6 subjects" in capsys.readouterr().out.splitlines()[0]
    few = Protocol("file:loso", loso(table).folds[:1]).to_json()
    show(result(write_run(tmp_path / "few", table, data=data, protocol=few, flip_labels=0.2), 5), tmp_path)
    head, experiment, *_ = capsys.readouterr().out.splitlines()
    assert "file:loso on toy:benchmark · tested: 4 of 24 clips, 1 of 6 subjects" in head and "no score: a share of 0.2" in experiment


# Audit: what each epoch would have said


def folds_of(run: Path) -> list[dict]:
    return list(RunFolder.open(run).folds())


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audited") / "run"
    evaluate(SPEC, "synthetic:tiny", out=out, seeds=2, precision="fp32", audit=True)
    return out


def test_an_audit_changes_no_bit_of_the_training(whole: Path, audited: Path) -> None:
    assert RunFolder.open(audited).facts["audit"] is True
    for with_audit, without in zip(folds_of(audited), folds_of(whole), strict=True):
        assert with_audit["state_sha256"] == without["state_sha256"] and with_audit["predictions"] == without["predictions"]
        assert "oracle" not in without and "checks" not in without


def test_an_audit_keeps_every_epoch_and_the_last_is_what_counts(audited: Path) -> None:
    for record in folds_of(audited):
        assert record["oracle"]["stage"] == "supervised" and len(record["oracle"]["epochs"]) == 2
        final = [max(range(len(p["probabilities"])), key=p["probabilities"].__getitem__) for p in record["predictions"]]
        assert record["oracle"]["epochs"][-1] == final
        assert record["checks"] == {"state_unchanged": True, "batch_independent": True}


def test_a_run_is_not_resumed_with_another_kind_of_audit(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(RunError, match="audit is False there and True here"):
        evaluate(SPEC, "synthetic:tiny", out=tmp_path / "run", seeds=2, precision="fp32", resume=True, audit=True)


def test_looking_at_the_test_clips_leaves_modes_random_numbers_and_the_account_of_drawn_clips(data: ClipData) -> None:
    recognizer = assemble(SPEC, "full", data.labels)
    recognizer.train()
    recognizer.head.eval()  # a frozen part
    tested = frozen_clips(data)
    data.drawn.clear()
    data.drawn.add(3)
    state, random = state_hash(recognizer), torch.get_rng_state()
    assert len(positions(recognizer, tested, Machine("cpu", "fp32", 1))) == len(tested)
    assert recognizer.training and recognizer.backbone.training and not recognizer.head.training
    assert state_hash(recognizer) == state and torch.equal(torch.get_rng_state(), random) and data.drawn == {3}
    assert not torch.is_inference_mode_enabled() and all(p.requires_grad for p in recognizer.parameters())


def test_looking_at_the_test_clips_asks_no_auxiliary_task(data: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer, machine = assemble(SPEC, "full", data.labels), Machine("cpu", "fp32", 1)
    asked: list[int] = []
    monkeypatch.setattr(type(recognizer), "auxiliary_predictions", lambda self, looks: asked.append(len(looks)) or {})
    found = positions(recognizer, frozen_clips(data), machine)
    assert not asked
    rows = predict_clips(recognizer, frozen_clips(data), machine)
    assert asked and found == [row["probabilities"].index(max(row["probabilities"])) for row in rows]


def frozen_clips(data: ClipData) -> Clips:
    return Clips(data, "micro").where(np.arange(16) < 5)


def test_statistics_taken_from_test_clips_are_found_out(data: ClipData) -> None:
    tested, machine = frozen_clips(data), Machine("cpu", "fp32", 1)

    def checks(norm: torch.nn.Module) -> dict:
        recognizer = assemble(SPEC, "full", data.labels)
        head = recognizer.head.linear  # type: ignore[attr-defined]
        recognizer.head.linear = torch.nn.Sequential(norm, head)  # type: ignore[attr-defined]
        record = {"state_sha256": state_hash(recognizer), "predictions": predict_clips(recognizer, tested, machine)}
        return checked(recognizer, tested, machine, record)["checks"]

    width = assemble(SPEC, "full", data.labels).head.linear.in_features  # type: ignore[attr-defined]

    class Counting(torch.nn.Module):
        """Keeps the mean of what it has seen, tests included."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mean += x.mean(0)
            return x

    class Standardising(torch.nn.Module):
        """Takes each batch for the population."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    assert checks(torch.nn.Identity()) == {"state_unchanged": True, "batch_independent": True}
    assert checks(Counting()) == {"state_unchanged": False, "batch_independent": True}
    assert checks(Standardising()) == {"state_unchanged": True, "batch_independent": False}


def test_a_fitted_model_has_one_epoch(tmp_path: Path) -> None:
    evaluate("flow-svm", "synthetic:tiny", out=tmp_path / "run", preset="small", precision="fp32", audit=True)
    assert [len(record["oracle"]["epochs"]) for record in folds_of(tmp_path / "run")] == [1] * 4


# Wrong labels on purpose


def test_flipped_labels_are_as_many_as_asked_for_and_leave_the_rest_alone(data: ClipData) -> None:
    clips = Clips(data, "micro").without([str(data.table["subject"].iloc[0])])
    before = data.label_index.copy()
    changed = flipped(clips, 0.3, seed=1)
    different = np.flatnonzero(changed.label_index != before)
    assert len(different) == round(0.3 * len(clips)) and set(different) <= set(clips.rows)
    assert (data.label_index == before).all() and changed.drawn is data.drawn
    assert (changed.targets.argmax(1) == changed.label_index)[clips.rows].all()
    assert changed.table["emotion"].iloc[int(different[0])] == data.labels[changed.label_index[different[0]]]
    assert (flipped(clips, 0.3, seed=1).label_index == changed.label_index).all()
    assert (flipped(clips, 0.3, seed=2).label_index != changed.label_index).any()
    everything = flipped(clips, 1.0, seed=1)
    assert (everything.label_index[clips.rows] != before[clips.rows]).all()


def test_labels_are_flipped_in_training_and_not_in_the_test(whole: Path, data: ClipData, tmp_path: Path) -> None:
    evaluate(SPEC, "synthetic:tiny", out=tmp_path / "run", precision="fp32", flip_labels=0.5)
    assert RunFolder.open(tmp_path / "run").facts["flip_labels"] == 0.5
    truth = data.table.set_index("sample_id")["emotion"]
    for record, clean in zip(folds_of(tmp_path / "run"), folds_of(whole), strict=False):
        assert record["state_sha256"] != clean["state_sha256"]
        assert all(p["label"] == truth[p["sample_id"]] for p in record["predictions"])
    fold = loso(data.table).folds[0]
    plan = dataclasses.replace(plan_of(data, (fold,), tmp_path), flip_labels=0.5)
    _, (stage,) = prepare(plan, data, fold, 0)
    (clips,) = stage.clips
    assert (clips.labels != data.label_index[clips.rows]).sum() == 6 and not clips.subjects & set(fold.test_subjects)


# Data sets of macro-expressions


class MacroFolds(SyntheticFaces):
    """Clips of macro-expressions alone, with folds of their own."""

    def table(self) -> pd.DataFrame:
        table = super().table()
        micro = table["kind"] == "micro"
        table.loc[micro, "fold"] = table["subject"].map({"synthetic:s5000": "1", "synthetic:s5001": "1", "synthetic:s5002": "2"})
        table.loc[table.index[~micro][:1], "emotion"] = ""
        return table.assign(kind="macro", fold=table["fold"].fillna(""))


def test_a_protocol_of_macro_expressions_trains_and_tests_them(tmp_path: Path) -> None:
    result = evaluate(SPEC, MacroFolds("tiny"), "folds", out=tmp_path / "run", precision="fp32")
    run = RunFolder.open(tmp_path / "run")
    assert run.protocol.kind == "macro" and result["data"]["samples"] == 18 and [len(f.test_ids) for f in run.protocol.folds] == [8, 4]
    for record in run.folds():
        assert not set(record["stages"][0]["subjects"]) & set(record["test_subjects"])
        assert "synthetic:s5003" in record["stages"][0]["subjects"] and "synthetic:s5100" not in record["stages"][0]["subjects"]
    assert train(SPEC, MacroFolds("tiny"), out=tmp_path / "trained", precision="fp32", threads=1)


def test_somebody_declared_the_same_is_kept_out_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from merzoo.evaluation import evaluate as module

    monkeypatch.setattr(module, "shared_subjects", lambda: [("synthetic:s5000", "synthetic:s5001"), ("synthetic:s5000", "synthetic:s5100")])
    evaluate(SPEC, "synthetic:tiny", out=tmp_path / "run", precision="fp32", only=[fold_id("synthetic:s5000")])
    (record,) = folds_of(tmp_path / "run")
    assert set(record["test_subjects"]) == {"synthetic:s5000", "synthetic:s5001", "synthetic:s5100"}
    assert set(record["stages"][0]["subjects"]) == {"synthetic:s5002", "synthetic:s5003"}


def test_one_answer_for_all_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip_table())
    for fold in run.protocol.folds:
        path = run.fold_path(0, fold.fold_id)
        record = json.loads(path.read_text())
        for row in record["predictions"]:
            row["probabilities"] = [0.2, 0.7, 0.1]
        path.write_text(json.dumps(record))
    with pytest.warns(MerzooWarning, match="every clip was taken for 'positive': nothing was learned"):
        result(run)


def test_a_class_of_one_person_is_told(tmp_path: Path, tiny: ClipData) -> None:
    first = tiny.table.query("kind == 'micro'").iloc[0]

    class Lonely(SyntheticFaces):
        def table(self) -> pd.DataFrame:
            rows = super().table()
            rows["emotion"] = np.where(rows["sample_id"] == first["sample_id"], "surprise", "others")
            return rows

    with pytest.warns(MerzooWarning, match=f"only {first['subject']} has clips of class 'surprise'"), pytest.raises(UnknownNameError, match="nobody"):
        evaluate("flow-svm", Lonely("tiny"), out=tmp_path / "run", preset="small", only=("nobody",))
