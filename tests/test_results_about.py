from __future__ import annotations

from dataclasses import replace

from merzoo.registry import registry
from merzoo.results.about import about, fidelity
from merzoo.specs import ModelSpec, Paper

SPEC = ModelSpec("a", "s", "b", paper=Paper(title="On Faces", arxiv="1234.5678"))
TABLE = """
| item | paper | here |
|---|:--|--:|
| **input** | `a \\| b*` is written [here](https://x.org) | the *same* |
| un_der_score | 2 * 3 | |
"""
ROWS = [["item", "paper", "here"], ["input", "a | b* is written here", "the same"], ["un_der_score", "2 * 3", ""]]


def test_the_table_below_the_heading_as_plain_text() -> None:
    text = f"# A\n| no | table |\n|---|---|\n\n## Fidelity\n\nWords.\n{TABLE}\n## More\n| x |\n|---|\n"
    assert fidelity(text, SPEC) == ROWS
    assert fidelity(text.replace("## Fidelity", "## Faithfulness"), SPEC) == []
    assert fidelity("", SPEC) == []


def test_of_several_tables_the_one_that_names_the_paper() -> None:
    text = f"## Fidelity\n\n**Other**: arXiv 9.\n\n| item |\n|---|\n| other |\n\n**This**: *On Faces*, arXiv 1234.5678.\n{TABLE}"
    assert fidelity(text, SPEC) == ROWS
    assert fidelity(text, replace(SPEC, paper=None)) == []
    assert fidelity(text, replace(SPEC, paper=Paper("Unknown"))) == []


def test_a_table_is_bounded() -> None:
    text = "## Fidelity\n| item |\n|---|\n" + f"| {'a' * 5000} \x1b[2J |\n" * 500
    rows = fidelity(text, SPEC)
    assert len(rows) == 100 and len(rows[1][0]) == 1000 and rows[1][0].isprintable()


def test_installed_models_tell_their_paper() -> None:
    made = about("synthetic-model-that-nobody-has")
    assert made == {"paper": None, "fidelity": []}
    for entry in registry().entries("model"):
        told = about(entry.name)
        assert (told["paper"] is None) == (entry.spec is None or entry.spec.paper is None)
