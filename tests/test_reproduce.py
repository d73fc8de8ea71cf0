"""What a paper reports, measured again where the data are, and named with the way to them where they are not."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from merzoo.cli import main
from merzoo.cli.reproduce import _row
from merzoo.errors import UsageError
from merzoo.registry import registry
from merzoo.reproduce import _compared, measured, run, targets, told
from merzoo.specs import ModelSpec, Paper, Reported

FLOW = "flow-svm"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch, clip_cache: object) -> None:
    monkeypatch.setattr("merzoo.data.roots.remembered", dict)


def reporting(*rows: Reported) -> ModelSpec:
    return dataclasses.replace(registry().model(FLOW), paper=Paper("On flow", reported=rows))


def test_numbers_of_one_protocol_are_one_command(tmp_path: Path) -> None:
    rows = [Reported("synthetic:tiny", "loso", metric, value, "Table 1", preset="small") for metric, value in (("uf1", 0.4), ("uar", 0.99))]
    (target,) = targets(reporting(*rows), tmp_path)
    assert target.command == (
        f"merzoo evaluate {FLOW} --data synthetic:tiny --protocol loso --preset small --seeds 3 --out {tmp_path / 'synthetic-tiny-loso-small'}"
    )
    assert told(target.rows) == "uf1 0.4 (Table 1), uar 0.99 (Table 1)" and not target.missing


@pytest.mark.slow
def test_reported_beside_measured(tmp_path: Path) -> None:
    rows = [Reported("synthetic:tiny", "loso", "uf1", 0.99, "Table 1", preset="small"), Reported("synthetic:tiny", "loso", "uar", None, preset="small")]
    spec = reporting(*rows)
    (target,) = targets(spec, tmp_path, seeds=1)
    first, second = run(target, spec, seeds=1)
    assert first["reported"] == 0.99 and first["difference"] == pytest.approx(first["measured"]["value"] - 0.99)
    assert first["inside"] is (first["measured"]["low"] <= 0.99 <= first["measured"]["high"])
    assert second["difference"] is None and second["measured"]["low"] <= second["measured"]["high"]
    assert (Path(first["run"]) / "result.json").is_file()
    assert run(target, spec, seeds=1)[0] == first


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def test_a_number_is_compared_with_what_it_is_of() -> None:
    """Of one data set with its slice, of data sets left out one by one with their mean, else with all clips."""
    slices = {name: {"scores": {"uf1": score(value), "uar": score(value + 0.01)}} for name, value in (("casme2", 0.4), ("samm", 0.8))}
    whole = {"scores": {"uf1": score(0.5), "uar": score(0.55)}, "slices": slices}
    left_out = {**whole, "mean_of_slices": {"metric": "uf1", "value": 0.6}}

    def of(result: dict[str, Any], protocol: str, metric: str, part: str = "") -> tuple[float | None, str]:
        found, what = measured(Reported("megc2019", protocol, metric, 0.6, part=part), result)
        return found and found["value"], what

    assert of(whole, "loso", "uf1") == (0.5, "all clips")
    assert of(whole, "loso", "uf1", "samm") == (0.8, "clips of samm") and of(whole, "loso", "uf1", "smic") == (None, "clips of smic")
    for metric, mean in (("uf1", 0.6), ("uar", 0.61)):
        assert of(left_out, "lodo", metric) == (pytest.approx(mean), "mean over data sets")
    assert of(left_out, "lodo", "au_f1") == (None, "mean over data sets") and of(left_out, "lodo", "uf1", "casme2") == (0.4, "clips of casme2")
    assert of(whole, "lodo", "uf1") == (0.5, "all clips")  # unfinished: there is no mean yet


def test_a_mean_over_data_sets_has_no_interval(tmp_path: Path) -> None:
    result = {"scores": {}, "slices": {"a": {"scores": {"uf1": score(0.4)}}}, "mean_of_slices": {"metric": "uf1", "value": 0.4}}
    made = _compared(Reported("x", "lodo", "uf1", 0.5), result, tmp_path)
    assert made["difference"] == pytest.approx(-0.1) and made["inside"] is None
    assert _row(made) == ("  uf1", "mean over data sets", "0.5000", "0.4000", "-", "-0.1000")


def test_the_printed_command_has_the_roots_and_the_part_is_told(tmp_path: Path) -> None:
    rows = (Reported("casme2:5", "loso", "uf1", 0.8, macro="dfew"), Reported("casme2:5", "loso", "uf1", 0.7, part="casme2", macro="dfew"))
    roots = {"casme2": tmp_path / "with space", "dfew": tmp_path / "d"}
    (target,) = targets(reporting(*rows), tmp_path, roots)
    words = shlex.split(target.command)
    assert [words[at + 1] for at, word in enumerate(words) if word == "--root"] == [f"{name}={root}" for name, root in roots.items()]
    assert told(target.rows) == "uf1 0.8, casme2 uf1 0.7"


def test_a_root_that_nothing_reported_is_about_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--root casme=…: no data set of that name is read for casme2; .* one of casme2$"):
        targets(reporting(Reported("casme2", "loso", "uf1", 0.5)), tmp_path, {"casme": tmp_path})


def test_missing_data_are_named_with_how_to_ask(tmp_path: Path) -> None:
    spec = reporting(Reported("casme2:5", "loso", "uf1", 0.8, "Table 2", macro="dfew"))
    (target,) = targets(spec, tmp_path)
    assert target.dataset is None and "--macro dfew" in target.command
    assert "merzoo data prepare casme2 --root DIR" in target.missing and "to get casme2: sign the licence" in target.missing and "dfew" in target.missing
    with pytest.raises(UsageError, match="casme2"):
        run(target, spec)
    (target,) = targets(spec, tmp_path, {"casme2": tmp_path / "nowhere", "dfew": tmp_path})
    assert "is no folder" in target.missing


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "miacnet-ma2mi"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("merzoo evaluate miacnet-ma2mi --data") == 3 and "not known to us" in shown and shown.count("missing:") == 3
    assert not list(tmp_path.iterdir())


def test_a_model_that_reports_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", FLOW]) == 2
    assert "has no reported number" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "miacnet-ma2mi", "--json", "--dry-run"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [sorted(row) for row in rows] == [["command", "missing", "reported", "rows"]] * 3
