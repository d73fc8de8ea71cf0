from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from merzoo.benchmark.statistics import summary
from merzoo.describe import tree
from merzoo.registry import registry
from merzoo.results.checking import check
from merzoo.results.cost import called, on_board
from merzoo.results.desk import Desk
from merzoo.testing.many_results import write_results

DESK = Desk()


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return json.loads(write_results(tmp_path_factory.mktemp("cost"), 2, part="tiny", samples=40)[1].read_text())


def reason(value: dict[str, Any], **options: bool) -> str:
    return check(value, Path("a.json"), DESK, **options).reason


def changed(cost: dict[str, Any], at: int, **fields: Any) -> dict[str, Any]:
    value = copy.deepcopy(cost)
    value["measurements"][at] |= fields
    return value


def test_measurements_at_fault_stay_off_the_board(cost: dict[str, Any]) -> None:
    value = changed(cost, 0, faults=["faster than the machine allows"])
    assert reason(value) == ""
    kept, skipped = on_board(value)
    assert [one["scenario"] for one in kept] == ["throughput"] * 3
    assert skipped[0] == value["skipped"][0] and skipped[1]["reason"] == "faster than the machine allows"


def test_a_latency_of_few_times_stays_off_the_board(cost: dict[str, Any]) -> None:
    for count, shown in ((30, 4), (29, 3)):
        times = cost["measurements"][0]["samples_us"][:count]
        value = changed(cost, 0, samples_us=times, summary=summary(times))
        kept, skipped = on_board(value)
        assert reason(value) == "" and len(kept) == shown
    assert skipped[-1]["reason"] == "29 times were measured, and a latency needs 30"


def test_the_largest_batch_may_be_the_knee_of_a_sweep_that_ended(cost: dict[str, Any]) -> None:
    value = copy.deepcopy(cost)
    value["measurements"] = value["measurements"][:3]
    value["measurements"][2]["knee"] = True
    assert reason(value) == ""
    value["measurements"][1]["knee"], value["measurements"][2]["knee"] = True, False
    assert "batch 4: knee is true, made again it is at batch 16" in reason(value)


def test_measurements_in_words() -> None:
    one = {"scenario": "load", "precision": None, "layout": None, "mode": None, "batch": None, "about": {"state": "cold"}}
    assert called(one) == "load, state cold"
    assert called({**one, "scenario": "latency", "precision": "bf16", "mode": "eager", "batch": 1, "about": {}}) == "latency bf16 eager, batch 1"


def test_rates_are_made_of_what_a_call_gets_done(cost: dict[str, Any]) -> None:
    p50 = cost["measurements"][0]["summary"]["p50"]
    predict = {"scenario": "predict", "batch": None, "about": {"frames": 72, "video": "synthetic"}, "per_second": 72e6 / p50}
    assert reason(changed(cost, 0, **predict)) == ""
    assert "per_second" in reason(changed(cost, 0, **{**predict, "per_second": 73e6 / p50}))
    assert "per_second" in reason(changed(cost, 0, **{**predict, "about": {}}))
    assert reason(changed(cost, 0, scenario="views", batch=None, per_second=1e6 / p50)) == ""


def test_times_of_the_device_stand_beside(cost: dict[str, Any]) -> None:
    value = copy.deepcopy(cost)
    value["environment"] = {**cost["environment"], "device": "NVIDIA H200"}
    times = [time / 2 for time in value["measurements"][0]["samples_us"]]
    value["measurements"][0] |= {"device_us": times, "device_p50": value["measurements"][0]["summary"]["p50"] / 2}
    assert reason(value) == ""
    value["measurements"][0]["device_p50"] *= 2
    assert "device_p50" in reason(value)
    assert "device_us has 39 times, samples_us 40" in reason(changed(value, 0, device_us=times[1:]))
    assert "device_p50 is 3.0, and there are no times of the device" in reason(changed(cost, 0, device_p50=3.0))


def test_nothing_at_all_was_measured(cost: dict[str, Any]) -> None:
    assert "measurements is no list of 1 to" in reason({**cost, "measurements": []})
    assert reason({**cost, "skipped": []}) == ""


@pytest.mark.parametrize(("said", "status"), [(2469, "passed"), (2470, "failed")])
def test_parameters_are_those_of_the_installed_network(said: int, status: str, cost: dict[str, Any]) -> None:
    spec = registry().model("ststnet")
    weights = spec.weights[0]
    named = {"model": "ststnet", "preset": "small", "options": tree(spec.preset("small")), "paper": None, "fidelity": []}
    value = {**cost, **named, "parameters": said, "weights": {"tag": weights.tag, "sha256": weights.sha256}}
    found = {one.name: one for one in check(value, Path("a.json"), DESK, deep=True).checks}["parameters"]
    assert (found.status, "2,469 in the installed network" in found.text) == (status, True)
    other = check({**value, "options": {"backbone": {"size": 9}}}, Path("a.json"), DESK, deep=True)
    assert other.checks[-1].status == "not checked" and other.status == "consistent"
