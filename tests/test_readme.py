"""The README's scores are those that were measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_of_scores_is_made_from_the_committed_results() -> None:
    spec = importlib.util.spec_from_file_location("synthetic_loso", ROOT / "benchmarks" / "synthetic_loso.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text, measured = (ROOT / "README.md").read_text(encoding="utf-8"), json.loads(script.RESULTS.read_text())
    made = script.table(measured)
    assert script.with_table(text, made) == text and made in text
    assert script.with_table(text, made.replace("| 0.", "| 9.")) != text
    assert all(one["complete"] and one["preset"] == "small" and len(one["seeds"]) == 3 for one in measured["models"].values())
