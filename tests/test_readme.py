"""Tables of scores in the documents are those that were measured."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from merzoo.leaderboard.build import build

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of benchmarks/, which import one another by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module(name)


def test_the_readme_s_table_is_made_from_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    board, put = script("synthetic_loso", monkeypatch), script("command", monkeypatch).with_table
    text, measured = (ROOT / "README.md").read_text(encoding="utf-8"), json.loads(board.RESULTS.read_text(encoding="utf-8"))
    made = board.table(measured)
    assert put(text, board.MARK, made) == text and made in text
    assert put(text, board.MARK, made.replace("| 0.", "| 9.")) != text
    page = board.DOCUMENT.read_text(encoding="utf-8")
    assert put(page, board.DIFFERENCES, board.differences(measured)) == page
    assert all(one["complete"] and one["preset"] == "small" and len(one["seeds"]) == 3 for one in measured["models"].values())
    with pytest.raises(ValueError, match="0 times"):
        put(text, "another table", made)


@pytest.mark.parametrize("paper", ["ma2mi", "lightmannet", "famnet"])
def test_tables_of_ablations_are_made_from_the_committed_results(paper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = json.loads((RESULTS / f"ablation_{paper}.json").read_text(encoding="utf-8"))
    ablations = script("ablations", monkeypatch)
    assert ablations.table(measured) in (ROOT / "docs" / "ablations.md").read_text(encoding="utf-8")
    assert [(row["shown"], row["model"]) for row in measured["variants"]] == list(ablations.VARIANTS[paper].items())


def test_the_committed_board_is_made_from_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, put = script("board", monkeypatch), script("command", monkeypatch).with_table
    board = build(made.RESULTS, tmp_path)
    assert not board["left_out"] and {row["status"] for group in board["groups"] for row in group["rows"]} == {"consistent"}
    assert (tmp_path / "board.md").read_text(encoding="utf-8") == (made.BOARD / "board.md").read_text(encoding="utf-8")
    assert all((made.BOARD / name).is_file() for name in ("index.html", "board.json", "board.csv", "costs.csv"))
    text = made.README.read_text(encoding="utf-8")
    assert put(text, made.MARK, made.table(board)) == text
