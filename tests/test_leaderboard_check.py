"""The story of results on a board: exported, checked, collected with those of others, confirmed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from merzoo.cli import main
from merzoo.errors import UsageError
from merzoo.evaluation.bootstrap import Difference
from merzoo.leaderboard.build import build, collect
from merzoo.leaderboard.tables import COSTS, SCORES
from merzoo.results.pack import pack
from merzoo.results.reading import write
from merzoo.testing.many_results import write_results
from merzoo.testing.runs import write_synthetic_run

Capsys = pytest.CaptureFixture[str]


def exported(tmp_path: Path, name: str, by: str, created: str, model: str = "toy", **changed: Any) -> Path:
    """A file of a run in `results`; `created` tells runs apart and in which order they were made."""
    run = write_synthetic_run(tmp_path / f"run-{name}", model=model, **changed)
    facts = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**facts, "created": created}))
    path = tmp_path / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    write(path, pack(type(run).open(run.path), by))
    return path


def rows_of(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for group in board["groups"] for row in group["rows"] + group["references"]}


def day(number: int) -> str:
    return f"2026-02-{number:02d}T10:00:00+00:00"


def test_from_a_run_to_a_row(tmp_path: Path, capsys: Capsys) -> None:
    run = write_synthetic_run(tmp_path / "run", skill=0.8, model="toy")
    out, site = tmp_path / "results", tmp_path / "site"
    assert main(["leaderboard", "export", str(run.path), "--out", str(out), "--by", "Ada", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "consistent" and told["file"] == str(out / "toy-small-synthetic-tiny-loso-ada.json")
    assert main(["leaderboard", "check", told["file"]]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("toy, scores: ") and said[-1] == "consistent: a board takes it"
    assert "not checked  parameters: no model 'toy' is installed here" in "\n".join(said)
    assert main(["leaderboard", "check", told["file"], "--json"]) == 0
    checks = {check["name"]: check["status"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {name for name, status in checks.items() if status == "not checked"} == {
        *("reported numbers", "statistics of test data", "choice of the epoch", "parameters")
    }
    assert main(["leaderboard", "build", str(out), "--out", str(site)]) == 0
    assert "runs: 1 (1 consistent), costs: 0, tables: 1" in capsys.readouterr().out
    row = rows_of(json.loads((site / "board.json").read_text()))["toy-small-synthetic-tiny-loso-ada.json"]
    assert (row["status"], row["by"], row["rerun"], row["run"]) == ("consistent", "Ada", None, row["source"])
    assert row["scores"] == json.loads(Path(told["file"]).read_text())["result"]["scores"]
    assert sorted(file.name for file in site.iterdir()) == ["board.csv", "board.json", "board.md", "costs.csv", "index.html"]


def test_exit_codes_and_the_last_line(tmp_path: Path, capsys: Capsys) -> None:
    path = exported(tmp_path, "a", "Ada", day(1))
    value = json.loads(path.read_text())
    value["result"]["scores"]["uf1"]["value"] = 0.99
    path.write_text(json.dumps(value))
    assert main(["leaderboard", "check", str(path)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("refused: a board here leaves it out (claimed scores: 1 numbers are not what its predictions give (scores.uf1.value is 0.99")
    path.write_text("{")
    assert main(["leaderboard", "check", str(path)]) == 2
    assert main(["leaderboard", "check", str(tmp_path / "none.json")]) == 2
    assert main(["leaderboard", "check", str(path), "--root", ""]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_somebody_else_confirms_a_row(tmp_path: Path) -> None:
    exported(tmp_path, "first", "Ada", day(2), skill=0.9)
    exported(tmp_path, "second", "Grace", day(3), skill=0.9, seeds=[1])
    exported(tmp_path, "third", "Emmy", day(4), skill=0.9, seeds=[5])
    board = collect(tmp_path / "results")
    rows = rows_of(board)
    assert [*rows] == ["first.json"] and not board["left_out"]
    found = rows["first.json"]
    assert (found["status"], found["by"]) == ("re-run", "Ada")
    assert (found["rerun"]["by"], found["rerun"]["source"], found["rerun"]["also"]) == ("Grace", "second.json", ["third.json"])
    difference = found["rerun"]["difference"]["uf1"]
    assert difference["low"] <= 0 <= difference["high"] and difference["value"] != 0


@pytest.mark.parametrize(
    "changed",
    [{"by": "Ada"}, {"by": ""}, {"model": "other"}, {"options": {"strategy": {"epochs": 3}}}, {"preset": "full"}, {"skill": 0.0, "seeds": [5, 6, 7]}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_confirms_nothing(changed: dict[str, Any], tmp_path: Path) -> None:
    """The same person, nobody by name, another model, options or preset, and one that disagrees."""
    exported(tmp_path, "first", "Ada", day(2), skill=1.0)
    exported(tmp_path, "second", changed.pop("by", "Grace"), day(3), **{"skill": 1.0, "seeds": [1], **changed})
    rows = rows_of(collect(tmp_path / "results"))
    assert {(name, row["status"], row["rerun"]) for name, row in rows.items()} == {("first.json", "consistent", None), ("second.json", "consistent", None)}


def test_a_run_is_there_once(tmp_path: Path) -> None:
    """Neither a copy of the file nor one under another name confirms anything; nor does the folder that it was packed from count again."""
    path = exported(tmp_path, "one", "Ada", day(1))
    value = json.loads(path.read_text())
    write(path.with_name("two.json"), {**value, "by": "Grace"})
    later = {"created": day(3), "environment": {**value["environment"], "cpu": "another"}}
    inner = {"run": {**value["run"], **later}, "result": {**value["result"], "environment": later["environment"]}}
    write(path.with_name("a-copy.json"), {**value, **later, **inner, "by": "Grace"})
    (tmp_path / "run-one").rename(tmp_path / "results" / "folder")
    board = collect(tmp_path / "results")
    assert [*rows_of(board)] == ["one.json"] and rows_of(board)["one.json"]["status"] == "consistent"
    assert {out["run"]: out["reason"] for out in board["left_out"]} == {
        name: f"{name} is the very same as one.json, which is on the board" for name in ("folder", "two.json", "a-copy.json")
    }


def test_runs_that_cannot_be_compared_leave_the_board_standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("odd")

    monkeypatch.setattr("merzoo.leaderboard.reruns.paired_difference", broken)
    exported(tmp_path, "first", "Ada", day(2))
    exported(tmp_path, "second", "Grace", day(3), seeds=[1])
    board = build(tmp_path / "results", tmp_path / "site")
    assert [*rows_of(board)] == ["first.json"]
    assert [(out["run"], out["reason"]) for out in board["left_out"]] == [("second.json", "it cannot be compared with first.json: KeyError: 'odd'")]


def test_a_row_that_cannot_be_drawn_leaves_the_board_standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(row: dict[str, Any]) -> str:
        if row["model"] == "odd" or row["source"] == "0001-cost.json":
            raise KeyError("odd")
        return "by somebody"

    exported(tmp_path, "fine", "Ada", day(2))
    exported(tmp_path, "odd", "Grace", day(3), model="odd")
    write_results(tmp_path / "results", 4, part="tiny", samples=40)
    monkeypatch.setattr("merzoo.leaderboard.tables._status", odd)
    monkeypatch.setattr("merzoo.leaderboard.tables.device_name", odd)
    board = build(tmp_path / "results", tmp_path / "site", resamples=50)
    assert "fine.json" in rows_of(board) and [cost["source"] for cost in board["costs"]] == ["0000-cost.json"]
    assert {out["run"]: out["reason"] for out in board["left_out"]} == dict.fromkeys(("0001-cost.json", "odd.json"), "it cannot be drawn: KeyError: 'odd'")
    assert "it cannot be drawn" in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize(("apart", "status"), [(0.05, "re-run"), (0.0501, "consistent"), (-0.06, "consistent")])
def test_an_interval_that_holds_zero_is_not_enough(apart: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Difference(apart, -0.5, 0.5, 0.9)
    monkeypatch.setattr("merzoo.leaderboard.reruns.paired_difference", lambda *_: SimpleNamespace(scores={"uf1": wide}))
    exported(tmp_path, "first", "Ada", day(2))
    exported(tmp_path, "second", "Grace", day(3), seeds=[1])
    assert rows_of(collect(tmp_path / "results"))["first.json"]["status"] == status


def test_run_folders_are_compared_with_data_that_are_here(tmp_path: Path) -> None:
    source = tmp_path / "runs"
    write_synthetic_run(source / "good")
    write_synthetic_run(source / "elsewhere", data={"name": "nowhere", "part": None, "macro": None, "manifest_hash": "ab", "samples": 16, "subjects": 4})
    write_synthetic_run(source / "weights", model="toy", weights={"tag": "mine.safetensors", "sha256": "ab" * 32})
    bad = write_synthetic_run(source / "bad")
    for fold in bad.protocol.folds:
        path = bad.fold_path(0, fold.fold_id)
        record = json.loads(path.read_text())
        for p in record["predictions"]:
            p["label"] = bad.labels[0]
        path.write_text(json.dumps(record))
    board = collect(source)
    assert {name: row["status"] for name, row in rows_of(board).items()} == {"good": "consistent", "elsewhere": "own run", "weights": "own run"}
    assert [out["run"] for out in board["left_out"]] == ["bad"] and "differences from the data set" in board["left_out"][0]["reason"]


def test_papers_are_shown_as_far_as_they_can_be_compared(tmp_path: Path) -> None:
    known = exported(tmp_path, "known", "Ada", day(1), model="ststnet")
    value = json.loads(known.read_text())
    assert value["paper"]["reported"] and value["fidelity"]
    strange = {**value, "model": "strange-net", "created": day(5)}
    strange["run"] = {**value["run"], "model": "strange-net", "created": day(5)}
    strange["result"] = {**value["result"], "model": "strange-net"}
    write(known.with_name("strange.json"), strange)
    rows = rows_of(collect(tmp_path / "results"))
    assert rows["known.json"]["paper"] == value["paper"] and rows["known.json"]["fidelity"] == value["fidelity"]
    assert rows["strange.json"]["paper"] == {**value["paper"], "reported": []}


def test_costs_stand_beside_scores(tmp_path: Path) -> None:
    files = write_results(tmp_path / "results", 4, part="tiny", samples=40)
    value = json.loads(files[1].read_text())
    value["measurements"][2] |= {"faults": ["outputs are cached"], "check": None}
    value["measurements"][0]["of_later"] = {"deep": [1]}
    files[1].write_text(json.dumps(value))
    board = build(tmp_path / "results", tmp_path / "site")
    assert not board["left_out"] and len(board["costs"]) == 2 and len(rows_of(board)) == 2
    cost = next(cost for cost in board["costs"] if cost["source"] == files[1].name)
    assert (cost["status"], cost["device"], cost["by"]) == ("consistent", "cpu", value["by"])
    assert [one["batch"] for one in cost["measurements"]] == [1, 4, 64]
    assert cost["skipped"][-1] == {
        "scenario": "throughput",
        "precision": "fp32",
        "layout": "contiguous",
        "mode": "eager",
        "batch": 16,
        "reason": "outputs are cached",
    }
    assert "samples_us" not in json.dumps(board["costs"]) and "of_later" not in json.dumps(board["costs"])
    assert cost["measurements"][0]["summary"] == value["measurements"][0]["summary"]


def test_tables_for_other_programs(tmp_path: Path) -> None:
    write_results(tmp_path / "results", 2, part="tiny", samples=40)
    board = build(tmp_path / "results", tmp_path / "site")
    scores, costs = ([*csv.DictReader((tmp_path / "site" / name).open(newline=""))] for name in ("board.csv", "costs.csv"))
    assert tuple(scores[0]) == SCORES and tuple(costs[0]) == COSTS
    row = board["groups"][0]["rows"][0]
    assert [float(line["value"]) for line in scores] == [row["scores"][line["metric"]]["value"] for line in scores] and len(scores) == 3
    assert (scores[0]["data"], scores[0]["protocol"], scores[0]["status"], scores[0]["by"]) == ("synthetic", "loso", "consistent", "Ada")
    assert [float(line["p50_us"]) for line in costs] == [one["summary"]["p50"] for one in board["costs"][0]["measurements"]] and len(costs) == 4
    text = (tmp_path / "site" / "board.md").read_text()
    assert "| consistent by Ada |" in text and "## Latency at batch 1" in text


def test_other_json_is_passed_over_and_broken_results_are_named(tmp_path: Path) -> None:
    source = tmp_path / "results"
    write_results(source, 1, part="tiny", samples=40)
    (source / "board.json").write_text('{"schema": 2, "groups": []}')
    (source / "notes.json").write_text("no json at all")
    (source / "cut.json").write_text('{"schema": 1, "kind": "scores", "folds": [')
    (source / "new.json").write_text('{"schema": 9, "kind": "scores"}')
    board = collect(source)
    reasons = {out["run"]: out["reason"] for out in board["left_out"]}
    assert set(reasons) == {"cut.json", "new.json"} and len(rows_of(board)) == 1
    assert reasons["cut.json"].startswith("cut.json is no JSON of a result") and "upgrade merzoo to one that reads version 9" in reasons["new.json"]
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.json").write_text("{}")
    with pytest.raises(UsageError, match="neither a result file nor an evaluation run"):
        collect(tmp_path / "none")


def test_the_same_folder_gives_the_same_board(tmp_path: Path) -> None:
    for place in ("one", "far/two"):
        write_results(tmp_path / place, 6, part="tiny", samples=40)
    build(tmp_path / "one", tmp_path / "a")
    build(tmp_path / "far" / "two", tmp_path / "b")
    for name in ("index.html", "board.json", "board.md", "board.csv", "costs.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
def test_several_processes_make_the_same_board(tmp_path: Path) -> None:
    write_results(tmp_path / "results", 130, part="tiny", samples=40)
    told: list[tuple[int, int]] = []
    several = collect(tmp_path / "results", jobs=2, report=lambda what, done, total: told.append((done, total)))
    assert several == collect(tmp_path / "results") and len(several["costs"]) == 65 and not several["left_out"]
    assert told[0] == (0, 130) and told[-1] == (130, 130)
