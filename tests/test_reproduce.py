"""What a paper reports, measured again where the data are, and named with the way to them where they are not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from merzoo.cli import main
from merzoo.errors import UsageError
from merzoo.registry import registry
from merzoo.reproduce import run, targets, told
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
