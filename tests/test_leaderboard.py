from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from made_boards import Page

from merzoo.cli import main
from merzoo.errors import RunError, UsageError
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.runs import RunFolder, result
from merzoo.evaluation.splits import loso
from merzoo.leaderboard.build import build
from merzoo.leaderboard.page import SCRIPTS
from merzoo.leaderboard.wording import count, duration
from merzoo.testing.runs import clip_table, facts, record, write_run

TABLE = clip_table()
EVIL = '<script>alert("1")</script>'


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two models, a reference and a run on other data."""
    source = tmp_path / "runs"
    write_run(source / "deep" / "er" / "good", TABLE, skill=0.9, model="good", seeds=[0, 1], parameters=412_337)
    write_run(source / "poor", TABLE, skill=0.1, model="poor")
    write_run(source / "chance", TABLE, skill=0.0, model="chance", reference=True)
    write_run(source / "other", clip_table(subjects=5, seed=4), model="elsewhere")
    return source


def test_one_table_a_group_best_first_references_apart(runs: Path, tmp_path: Path) -> None:
    board = build(runs, tmp_path / "site", resamples=200)
    assert board == json.loads((tmp_path / "site" / "board.json").read_text())
    groups = {group["tested"]["subjects"]: group for group in board["groups"]}
    assert [row["run"] for row in groups[6]["rows"]] == ["deep/er/good", "poor"]
    assert [row["run"] for row in groups[6]["references"]] == ["chance"]
    assert [row["run"] for row in groups[5]["rows"]] == ["other"]


def test_scores_are_recomputed_and_result_json_is_not_believed(runs: Path, tmp_path: Path) -> None:
    (runs / "poor" / "result.json").write_text('{"scores": {"uf1": {"value": 1.0}}}')
    row = build(runs, tmp_path / "site")["groups"][0]["rows"][-1]
    expected = result(write_run(tmp_path / "again", TABLE, skill=0.1, model="poor"))
    assert {key: row[key] for key in expected} == expected
    assert (row["run"], row["source"], row["status"], row["by"], row["rerun"]) == ("poor", "poor", "own run", "", None)


def test_text_from_files_is_escaped(tmp_path: Path) -> None:
    table = TABLE.assign(emotion=TABLE["emotion"].replace("negative", "<b>bold"))
    source = tmp_path / "runs"
    labels = ["<b>bold", "positive", "surprise"]
    evil = {"name": EVIL, "part": "<i>", "manifest_hash": "<hash>", "samples": 1, "subjects": 1}
    fields = {"model": EVIL, "preset": "<u>", "data": evil, "weights": {"tag": "<tag>", "sha256": "<sha>"}, "environment": {"<key>": "<value>"}}
    run = write_run_of(source / "<img src=x>", table, labels, **fields)
    assert len(list(run.folds())) == 6
    (source / "<s>broken").mkdir()
    (source / "<s>broken" / "run.json").write_text("{")
    board = build(source, tmp_path / "site", resamples=50)
    assert len(board["left_out"]) == 1
    page = Page((tmp_path / "site" / "index.html").read_text())
    assert {"img", "i", "u", "s", "tag", "sha", "hash", "key", "value"}.isdisjoint(page.tags)
    assert page.tags.count("b") == 1 and page.tags.count("script") == len(SCRIPTS) + 1  # the score of the one row; the page's own scripts and their data
    assert "&lt;script&gt;" in (tmp_path / "site" / "index.html").read_text()
    text = (tmp_path / "site" / "board.md").read_text()
    assert not re.search(r"(?<!\\)<", text)


def write_run_of(path: Path, table, labels: list[str], **changed):
    """A run whose class list is not the usual one: predictions all say the first class."""
    from merzoo.evaluation.runs import RunFolder

    run = RunFolder.create(path, facts(table, labels=labels, **changed))
    for fold in run.protocol.folds:
        made = record(table.assign(emotion="negative"), fold, 0)
        truth = table.set_index("sample_id")["emotion"]
        for p in made["predictions"]:
            p["label"] = truth[p["sample_id"]]
        run.write_fold(0, fold.fold_id, made)
    return run


def test_bad_runs_are_left_out_with_their_reason(runs: Path, tmp_path: Path) -> None:
    write_run(runs / "half", TABLE, folds=2)
    leak = write_run(runs / "leak", TABLE)
    path = leak.fold_path(0, leak.protocol.folds[0].fold_id)
    made = json.loads(path.read_text())
    made["stages"][0]["subjects"].append("toy/s1")
    path.write_text(json.dumps(made))
    (runs / "junk").mkdir()
    (runs / "junk" / "run.json").write_text("[" * 100_000)
    board = build(runs, tmp_path / "site", resamples=50)
    reasons = {row["run"]: row["reason"] for row in board["left_out"]}
    assert set(reasons) == {"half", "leak", "junk"}
    assert "only 2 of 6 folds" in reasons["half"]
    assert "toy/s1 is in the training data" in reasons["leak"]
    assert "JSON" in reasons["junk"]
    assert str(tmp_path) not in (tmp_path / "site" / "index.html").read_text()
    assert sum(len(group["rows"]) for group in board["groups"]) == 3


def test_a_run_with_its_own_truth_gets_its_own_table(runs: Path, tmp_path: Path) -> None:
    """Labels set to what was predicted score 1.0, but not in the table of the honest."""
    cheat = write_run(runs / "cheat", TABLE, skill=0.1)
    for fold in cheat.protocol.folds:
        path = cheat.fold_path(0, fold.fold_id)
        made = json.loads(path.read_text())
        for p in made["predictions"]:
            p["label"] = cheat.labels[p["probabilities"].index(max(p["probabilities"]))]
        path.write_text(json.dumps(made))
    board = build(runs, tmp_path / "site", resamples=50)
    assert [[row["run"] for row in group["rows"]] for group in board["groups"] if any(row["run"] == "cheat" for row in group["rows"])] == [["cheat"]]


def test_an_experiment_with_flipped_labels_is_not_ranked(runs: Path, tmp_path: Path) -> None:
    write_run(runs / "flipped", TABLE, skill=1.0, flip_labels=0.2)
    board = build(runs, tmp_path / "site", resamples=50)
    assert [(out["run"], "0.2 of its training labels was flipped" in out["reason"]) for out in board["left_out"]] == [("flipped", True)]
    assert not any(row["run"] == "flipped" for group in board["groups"] for row in group["rows"])


def test_tables_show_how_many_clips_were_tested(runs: Path, tmp_path: Path) -> None:
    easy = Protocol("file:loso", loso(TABLE).folds[:2])
    write_run(runs / "easy", TABLE, model="easy", protocol=easy.to_json())
    build(runs, tmp_path / "site", resamples=50)
    page, text = ((tmp_path / "site" / name).read_text() for name in ("index.html", "board.md"))
    assert "8 of 30 samples, 2 subjects" in page and "8 of 30 samples, 2 subjects" in text and "file\\:loso" in text


def test_the_board_is_a_function_of_the_folder(runs: Path, tmp_path: Path) -> None:
    build(runs, tmp_path / "one", resamples=100)
    shutil.copytree(runs, tmp_path / "moved" / "far")
    build(tmp_path / "moved" / "far", tmp_path / "two", resamples=100)
    for name in ("index.html", "board.json", "board.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_training_runs_are_not_the_boards_business(runs: Path, tmp_path: Path) -> None:
    from merzoo.evaluation.runs import RunFolder

    RunFolder.create(runs / "trained", {**facts(TABLE), "kind": "training"})
    assert build(runs, tmp_path / "site", resamples=50)["left_out"] == []


def test_nothing_to_show_and_nowhere_to_write(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(UsageError):
            build(source, tmp_path / "site")
        assert main(["leaderboard", "build", str(source), "--out", str(tmp_path / "site")]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "site").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made a folder"):
        build(runs, tmp_path / "file", resamples=50)


def test_the_verb(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs / "half", TABLE, folds=2)
    assert main(["leaderboard", "build", str(runs), "--out", str(tmp_path / "site")]) == 0
    said = capsys.readouterr().out
    assert "runs: 4 (4 own run), costs: 0, tables: 2" in said
    assert "left out half" in said
    assert main(["leaderboard", "build", str(runs), "--out", str(tmp_path / "site"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 2


def test_numbers_as_people_say_them() -> None:
    assert [count(n) for n in (None, 0, 950, 999, 412_337, 999_800, 11_170_000, 2_100_000_000)] == ["–", "0", "950", "999", "412 k", "1 M", "11.2 M", "2.1 G"]
    assert [duration(s) for s in (0.24, 59, 90, 7200)] == ["0.2 s", "59.0 s", "1.5 min", "2.0 h"]


def test_action_units_and_slices_stand_on_the_board(tmp_path: Path) -> None:
    source = tmp_path / "runs"
    run = RunFolder.create(source / "units", facts(TABLE, task="multi-label", labels=["AU1", "AU12"], model="units"))
    for fold in run.protocol.folds:
        made = record(TABLE, fold, 0)
        for n, p in enumerate(made["predictions"]):
            p.update(label=("AU1+AU12", "AU12", "")[n % 3], probabilities=[0.9, n % 2])
        run.write_fold(0, fold.fold_id, made)
    sets = {subject: f"{('samm', 'smic')[i % 2]}:{i}" for i, subject in enumerate(TABLE["subject"].unique())}
    write_run(source / "sets", TABLE.assign(subject=TABLE["subject"].map(sets)), model="sets")
    board = build(source, tmp_path / "site", resamples=50)
    assert {group["task"]: group["metrics"] for group in board["groups"]} == {"classes": ["uf1", "uar", "accuracy"], "multi-label": ["au_f1"]}
    assert not board["left_out"]
    page, text = ((tmp_path / "site" / name).read_text() for name in ("index.html", "board.md"))
    assert "| seeds | AU F1 | parameters |" in text
    assert page.count("<dt><bdi>smic</bdi></dt>") == 1
    assert page.count('<table class="confusion">') == 1
