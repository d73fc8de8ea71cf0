"""Real models, measured as a user would, into files that a board takes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from merzoo.benchmark.bench import Bench
from merzoo.benchmark.energy import Meter
from merzoo.benchmark.forward import latency, throughput
from merzoo.benchmark.honesty import SAMPLES
from merzoo.benchmark.measurement import Measurement
from merzoo.benchmark.record import record, save
from merzoo.benchmark.run import measure_model
from merzoo.benchmark.sampling import Limits
from merzoo.benchmark.subject import Subject
from merzoo.benchmark.training import clips_in
from merzoo.benchmark.variants import Variant
from merzoo.cli import main
from merzoo.errors import RunError
from merzoo.registry import registry
from merzoo.results.cost import check_cost
from merzoo.results.desk import Desk
from merzoo.results.reading import read
from merzoo.training.machine import Machine

ROOT = Path(__file__).parents[1]
FEW = Limits(10, 10, 0.2)
ENOUGH = Limits(30, 30, 0.2)  # for a board


def bench(max_batch: int = 4, limits: Limits = FEW) -> Bench:
    """A CPU, and few samples."""
    return Bench(Machine.of("cpu", "fp32"), limits, max_batch)


def of(subject: Subject, scenario: str) -> list[Measurement]:
    """What was measured of one scenario."""
    return [one for one in subject.measurements if one["scenario"] == scenario]


def accepted(path: Path) -> dict[str, Any]:
    """A file's content, after the board's own check of it."""
    value = read(path)
    verdict = check_cost(value, path, Desk())
    assert {check.status for check in verdict.checks} == {"passed"}, verdict.checks
    return value


def script(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("model", ["ststnet", "flow-svm"])
def test_a_model_is_measured_and_the_board_takes_its_file(model: str, tmp_path: Path) -> None:
    subject = measure_model(
        model, "small", bench(limits=ENOUGH), ["latency", "throughput"], [Variant("fp32"), Variant("fp32", "contiguous")], lambda *told: None
    )
    value = accepted(save(subject, tmp_path, "me"))
    assert (value["by"], value["model"], value["kind"]) == ("me", model, "cost")
    assert value["weights"] == {"tag": "synthetic", "sha256": registry().model(model).weights[0].sha256}
    assert value["flops"] > 0
    assert value["bytes"] >= 4 * value["parameters"]
    assert len(value["noise"]["blocks_us"]) == 5
    for one in value["measurements"]:
        assert one["faults"] == []
        assert one["check"]["ok"]
        assert one["floor_us"] > 0
        assert one["peak_bytes"] > 0
        assert one["per_second"] == pytest.approx(1e6 * one["batch"] / one["summary"]["p50"])
        assert one["device_us"] is None


def test_the_network_that_is_timed_has_not_seen_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject("ststnet", "small", bench())
    seen: list[nn.Module] = []
    monkeypatch.setattr(type(subject.recognizer), "forward", lambda self, batch: seen.append(self) or batch["flow"].flatten(1)[:, :3])
    latency(subject, Variant())
    assert subject.measurements[0]["faults"] == []
    assert len({id(network) for network in seen}) == 2
    assert all(network is not subject.recognizer for network in seen[:SAMPLES])

    def uncopied(self: nn.Module, memo: Any) -> nn.Module:
        raise TypeError("no copies of this")

    monkeypatch.setattr(type(subject.recognizer), "__deepcopy__", uncopied, raising=False)
    latency(subject, Variant())
    assert subject.measurements[1]["faults"] == []


def test_a_sweep_has_one_knee_a_variant_and_ends_where_it_must() -> None:
    subject = Subject("ststnet", "small", bench(max_batch=2))
    throughput(subject, Variant())
    batches = [one["batch"] for one in of(subject, "throughput")]
    assert batches == [1, 2][: len(batches)]
    assert sum(one["knee"] for one in subject.measurements) == 1


def test_a_sweep_that_is_late_measures_two_sizes_and_says_so() -> None:
    late = bench(max_batch=64)
    late.limits = Limits(2, 2, 1e-6)
    subject = Subject("ststnet", "small", late)
    throughput(subject, Variant())
    assert [one["batch"] for one in subject.measurements] == [1, 2]
    assert [one["reason"] for one in subject.skipped] in ([], ["the sizes before it took the limit of 1e-06 s"])  # none where 2 are no faster than 1


def test_a_meter_that_fails_costs_the_energy_alone() -> None:
    def lost(handle: object) -> int:
        raise RuntimeError("GPU is lost")

    metered = bench()
    metered.meter = Meter(SimpleNamespace(nvmlDeviceGetTotalEnergyConsumption=lost), None)
    subject = Subject("ststnet", "small", metered)
    latency(subject, Variant())
    assert [(one["energy_joules"], one["faults"]) for one in subject.measurements] == [(None, [])]


def test_what_a_device_cannot_do_is_skipped_with_the_reason() -> None:
    subject = Subject("ststnet", "small", bench())
    latency(subject, Variant("tf32", mode="cuda-graph"))
    assert subject.measurements == []
    assert subject.skipped == [
        {
            "scenario": "latency",
            "precision": "tf32",
            "layout": "channels-last",
            "mode": "cuda-graph",
            "batch": 1,
            "reason": "a CPU has no CUDA graphs",
        }
    ]
    with pytest.raises(RunError, match="nothing could be measured: a CPU has no CUDA graphs"):
        measure_model("ststnet", "small", bench(), ["latency"], [Variant(mode="cuda-graph")], lambda *told: None)


def test_graphs_are_captured_after_all_else() -> None:
    told: list[str] = []
    variants = [Variant(mode="cuda-graph"), Variant()]
    measure_model("ststnet", "small", bench(), ["latency", "views"], variants, lambda what, done, total: told.append(what))
    assert told[1:-1] == ["ststnet (latency fp32 eager)", "ststnet (views)", "ststnet (latency fp32 cuda-graph)"]


def test_memory_that_runs_out_ends_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject("ststnet", "small", bench(max_batch=64))
    monkeypatch.setattr("merzoo.benchmark.forward.free_bytes", lambda device: 1000)
    throughput(subject, Variant())
    assert [one["batch"] for one in subject.measurements] == [1]
    assert "are free" in subject.skipped[0]["reason"]


def test_a_failing_scenario_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("merzoo.benchmark.forward.measure", out_of_memory)
    subject = measure_model("ststnet", "small", bench(), ["latency", "views"], [Variant()], lambda *told: None)
    assert [one["reason"] for one in subject.skipped] == ["out of memory"]
    assert {one["about"]["input"] for one in of(subject, "views")} == {"flow", "strain"}


def test_training_is_timed_stage_by_stage() -> None:
    subject = measure_model("ststnet", "small", bench(), ["train-step"], [Variant(), Variant("fp16")], lambda *told: None)
    (one,) = subject.measurements
    assert (one["about"], one["precision"], one["batch"]) == ({"stage": "supervised"}, "fp32", 32)
    assert 5 <= one["summary"]["count"] <= 10
    assert one["per_second"] > 0
    assert [skipped["reason"] for skipped in subject.skipped] == ["training computes in fp32 or bf16"]
    fitted = Subject("flow-svm", "small", bench())
    from merzoo.benchmark.training import train_step

    train_step(fitted, "fp32")
    assert "fitted as a whole" in fitted.skipped[0]["reason"]


def test_clips_of_nested_batches_are_counted() -> None:
    x = torch.zeros(5, 2, 8, 8)
    assert clips_in({"flow": x, "label": torch.zeros(5)}, {"flow": (2, 8, 8)}) == 5
    assert clips_in({"tasks": [{"support": {"flow": x}, "query": {"flow": x[:2]}}] * 3}, {"flow": (2, 8, 8)}) == 21
    assert clips_in({"frames": x[:4], "weight": torch.tensor(1.0)}, {"flow": (2, 8, 8)}) == 4, "an autoencoder is shown other tensors"


@pytest.mark.slow
def test_loading_and_prediction_are_timed(tmp_path: Path) -> None:
    subject = measure_model("ststnet", "small", bench(), ["load", "predict"], [Variant()], lambda *told: None)
    cold, warm = of(subject, "load")
    assert (cold["about"], warm["about"]) == ({"state": "cold"}, {"state": "warm"})
    assert cold["summary"]["p50"] > warm["summary"]["p50"], "the first imports torch"
    (video,) = of(subject, "predict")
    assert video["about"]["frames"] > 10
    assert video["per_second"] == pytest.approx(1e6 * video["about"]["frames"] / video["summary"]["p50"])
    accepted(save(subject, tmp_path))


@pytest.mark.slow
def test_a_model_without_weights_that_is_fitted_answers_clips_differently() -> None:
    subject = Subject("flow-svm", "full", bench())
    assert subject.recognizer.weights is None
    latency(subject, Variant())
    assert subject.measurements[0]["check"]["ok"], subject.measurements[0]["faults"]


def test_the_command_writes_files_and_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    asked = ["--preset", "small", "--device", "cpu", "--precision", "fp32", "--scenario", "latency", "--samples", "10", "--seconds", "0.2"]
    assert main(["benchmark", "ststnet", "ststnet,backbone.size=3", "flow-svm", *asked, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert sorted(path.name for path in out.iterdir()) == ["flow-svm-small-cpu.json", "ststnet-small-cpu.json"]
    assert "1 of 3 models could not be measured" in printed.err
    assert "ststnet,backbone.size=3" in printed.err
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= 120, max(lines, key=len)
    assert "p50 ms" in printed.out
    assert "latency fp32 eager" in printed.out
    before = (out / "ststnet-small-cpu.json").read_bytes()
    assert main(["benchmark", "ststnet", *asked, "--out", str(out), "--json"]) == 2
    assert "--force to measure again and write over it" in capsys.readouterr().err
    assert (out / "ststnet-small-cpu.json").read_bytes() == before
    assert main(["benchmark", "ststnet", *asked, "--out", str(out), "--json", "--force"]) == 0
    (value,) = json.loads(capsys.readouterr().out)
    assert value["measurements"][0]["summary"]["count"] == 10


def test_a_faulty_measurement_is_told_and_its_times_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from merzoo.cli.benchmark import show

    subject = measure_model("ststnet", "small", bench(), ["latency"], [Variant()], lambda *told: None)
    subject.measurements[0]["faults"] = ["answers are kept"]
    found = record(subject)
    show(found, tmp_path / "x.json")
    printed = capsys.readouterr().out
    assert "FAULT  latency fp32 eager batch 1: answers are kept" in printed
    assert f"{found['measurements'][0]['summary']['p50'] / 1e3:#.3g}" not in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ststnt"], "unknown model 'ststnt'; did you mean ststnet"),
        (["ststnet", "--scenario", "latncy"], "unknown scenario 'latncy'; did you mean latency"),
        (["ststnet", "--precision", "bf61"], "unknown precision 'bf61'; did you mean bf16"),
        (["ststnet", "--device", "gpu"], "device 'gpu' is neither auto, cpu nor cuda"),
        (["ststnet", "--preset", "huge"], "unknown preset of ststnet 'huge'"),
        (["ststnet", "--seconds", "0"], "seconds 0.0 must be a finite number above 0"),
    ],
)
def test_errors_are_one_line(arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"merzoo: {told}"), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_suite_ends_in_time_writes_what_it_has_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = script("gpu_suite")
    first, second = tmp_path / "first", tmp_path / "second"
    assert suite.main(["--reduced", "--device", "cpu", "--models", "ststnet", "flow-svm", "--out", str(first), "--limit", "600"]) == 0
    value = accepted(first / "ststnet-small-cpu.json")
    assert {one["scenario"] for one in value["measurements"]} == {"latency", "throughput", "train-step", "views"}
    capsys.readouterr()

    for path in first.iterdir():  # as a second run that took a tenth longer on a quiet machine would leave them
        second.mkdir(exist_ok=True)
        slower = json.loads(path.read_text())
        slower["noise"]["blocks_us"] = [100.0]
        quiet = json.dumps(slower)
        path.write_text(quiet)
        for one in slower["measurements"]:
            one["summary"]["p50"] *= 1.1
        (second / path.name).write_text(json.dumps(slower))
    assert suite.main(["--compare", str(first), str(first)]) == 0
    assert suite.main(["--compare", str(first), str(second)]) == 1
    assert "1.100" in capsys.readouterr().out
    for path in second.iterdir():
        noisy = json.loads(path.read_text())
        noisy["noise"]["blocks_us"] = [104.0]
        path.write_text(json.dumps(noisy))
    assert suite.main(["--compare", str(first), str(second)]) == 0
    assert "the machine was noisy for 2 of 2 models" in capsys.readouterr().out


def test_what_the_limit_leaves_no_time_for_is_skipped(tmp_path: Path) -> None:
    suite = script("gpu_suite")
    made = suite.Suite(bench(), tmp_path, 600.0, "", ENOUGH.least)
    made.build(["ststnet"], "small")
    made.run(suite.Pass("latency", (Variant(),), 0.2, 1))
    made.limit = 0.0
    made.run(suite.Pass("latency", (Variant("bf16"),), 0.2, 1))
    value = accepted(tmp_path / "ststnet-small-cpu.json")
    assert [one["precision"] for one in value["measurements"]] == ["fp32"]
    assert [(one["precision"], one["reason"]) for one in value["skipped"]] == [("bf16", "the limit of 0 s left no time")]


def test_the_suite_outlives_a_file_that_cannot_be_written_and_builds_nothing_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = script("gpu_suite")
    made = suite.Suite(bench(), tmp_path, 600.0, "", 10)
    made.build(["ststnet", "flow-svm"], "small")

    def full(subject: Subject, out: Path, by: str) -> Path:
        if subject.spec.name == "ststnet":
            raise OSError("no space left on the device")
        assert not (tmp_path / "flow-svm-small-cpu.json").exists()
        return save(subject, out, by)

    monkeypatch.setattr(suite, "save", full)
    made.run(suite.Pass("latency", (Variant(),), 0.2, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["flow-svm-small-cpu.json"]
    assert "ststnet: " in capsys.readouterr().err
    assert made.end() == 1
    made.limit = 0.0
    made.build(["miacnet"], "small")
    assert "miacnet: the limit of 0 s left no time" in capsys.readouterr().err


@pytest.mark.slow
def test_fidelity_compares_with_timms_method(tmp_path: Path) -> None:
    fidelity, out = script("fidelity"), tmp_path / "fidelity.json"
    assert fidelity.main(["--device", "cpu", "--img-size", "32", "--iterations", "2", "--repeats", "2", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["batch"], len(found["ratios"]), found["environment"]["device"]) == (64, 2, "cpu")
    assert found["ratios"] == [a / b for a, b in zip(found["merzoo_us"], found["timm_us"], strict=True)]
