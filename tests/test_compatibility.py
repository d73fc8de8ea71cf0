"""The compatibility table: what is committed is what the registry says, and the registry is read as the needs are."""

from __future__ import annotations

from pathlib import Path

import pytest

from merzoo.compatibility import columns, markdown, missing, parts
from merzoo.entries import Register
from merzoo.plugins import load_registry
from merzoo.registry import Registry, registry

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
PLUGINS = {path.name for path in (Path(__file__).parents[1] / "plugins").iterdir() if (path / "pyproject.toml").is_file()}


def test_the_committed_page_is_made_from_the_registry() -> None:
    zoo = load_registry()  # this process's may hold what another test has registered
    installed = {record.name for record in zoo.records}
    if not installed >= PLUGINS:
        pytest.skip(f"the page is of all plugins of this repository; {', '.join(sorted(PLUGINS - installed))} is not installed")
    assert PAGE.read_text(encoding="utf-8") == markdown(zoo), "python -m merzoo.compatibility > docs/compatibility.md"


@pytest.fixture
def zoo() -> Registry:
    """Backbones, heads, tasks and strategies that exist nowhere."""
    register = Register("made-up")
    register.backbone("still", "m:Still", provides=("pooled",))
    register.backbone("moving", "m:Moving", provides=("pooled", "pair-code"))
    register.backbone("flat", "m:Flat", provides=("maps",))
    register.backbone_family("zoo", "m:Zoo", provides=("pooled", "maps"))
    register.head("gap", "m:Gap", needs=("maps",))
    register.head("linear", "m:Linear", needs=("pooled",))
    register.head("tree", "m:Tree", needs=("pooled",), provides=("fitted",))
    register.auxiliary_task("guess", "m:Guess", needs=("pair-code",), provides=("guess",))
    register.auxiliary_task("spare", "m:Spare")
    register.strategy("plain", "m:Plain")
    register.strategy("pretext", "m:Pretext", needs=("guess", "macro-clips"))
    register.strategy("fit", "m:Fit", needs=("fitted",))
    register.strategy("odd", "m:Odd", needs=("nobody-has-this",))
    found = Registry()
    found.add(register)
    return found


def test_a_strategy_brings_along_what_provides_its_needs(zoo: Registry) -> None:
    assert [column.title for column in columns(zoo)] == ["fit + tree", "odd", "plain", "pretext + guess"]
    assert {column.strategy.name: column.data_needs() for column in columns(zoo)} == {"fit": [], "odd": [], "plain": [], "pretext": ["macro-clips"]}


def test_each_backbone_gets_a_head_that_its_features_suit_and_never_one_that_is_fitted(zoo: Registry) -> None:
    column = columns(zoo)[2]
    heads = {backbone.shown: parts(zoo, backbone, column)[1].name for backbone in zoo.entries("backbone")}
    assert heads == {"flat": "gap", "moving": "linear", "still": "linear", "zoo/*": "linear"}


def test_a_cell_is_yes_or_the_missing_needs(zoo: Registry) -> None:
    cells = {
        (backbone.shown, column.strategy.name): missing(parts(zoo, backbone, column)) for backbone in zoo.entries("backbone") for column in columns(zoo)
    }
    assert {pair for pair, words in cells.items() if not words} == {
        *((backbone, "plain") for backbone in ("flat", "moving", "still", "zoo/*")),
        *((backbone, "fit") for backbone in ("moving", "still", "zoo/*")),
        ("moving", "pretext"),
    }
    assert cells["still", "pretext"] == ["pair-code"] and cells["flat", "fit"] == ["pooled"] and cells["moving", "odd"] == ["nobody-has-this"]


def test_the_page_has_one_row_a_backbone_and_one_column_a_strategy(zoo: Registry) -> None:
    rows = [line.split(" | ") for line in markdown(zoo).splitlines() if line.startswith("| ")]
    assert [len(row) for row in rows] == [5] * 6
    assert rows[0] == ["| backbone", "fit + tree", "odd", "plain", "pretext + guess |"]
    assert rows[-1] == ["| `zoo/*`", "yes", "nobody-has-this", "yes", "pair-code |"]
    assert markdown(zoo).endswith("Of the data, `pretext` needs macro-clips.\n")


def test_the_famous_pairs() -> None:
    zoo = registry()
    across = {column.strategy.name: column for column in columns(zoo)}
    for backbone, strategy, words in (
        ("amnet2d", "ma2mi", ["pair-code"]),
        ("famnet", "ma2mi", []),
        ("lightmannet", "ma2mi", []),
        ("amnet3d", "ma2mi", []),
        ("lightmannet", "meta-auxiliary", []),
        ("miacnet", "multi-task", []),
    ):
        assert missing(parts(zoo, zoo.get("backbone", backbone), across[strategy])) == words, (backbone, strategy)
