"""Which backbone can be trained by which strategy, as a table made from the registry: `python -m merzoo.compatibility` prints it as Markdown.

Nothing is imported for it: the words that parts registered decide (see `merzoo.needs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from merzoo.compose import lender
from merzoo.entries import Entry
from merzoo.needs import any_data, unmet
from merzoo.registry import Registry, registry

HEAD = "linear"  # for a backbone that no model has
INTRODUCTION = """# Which parts fit together

Rows are backbones, columns are strategies with the auxiliary tasks and the head that they bring along. *yes*: the pair can be built and trained, as
`merzoo train BACKBONE+HEAD+STRATEGY+TASK`. Words are the needs that this backbone leaves unmet, as the error says too; what each means stands in
`merzoo/needs.py`, and in the README of the plugin that uses it. What strategies ask of the data stands below the table.
Made by `python -m merzoo.compatibility`.
"""


@dataclass(frozen=True)
class Column:
    """A strategy with what it brings along: auxiliary tasks that provide what it needs, and a head where only heads do ("fitted")."""

    strategy: Entry
    tasks: tuple[Entry, ...] = ()
    head: Entry | None = None

    @property
    def title(self) -> str:
        """The names, strategy first."""
        return " + ".join(part.name for part in (self.strategy, *self.tasks, *((self.head,) if self.head else ())))

    @property
    def parts(self) -> list[Entry]:
        """All but the backbone, and the head where any will do."""
        return [*([self.head] if self.head else []), *self.tasks, self.strategy]

    def data_needs(self) -> list[str]:
        """What its parts need of the data."""
        return sorted({need for part in self.parts for need in part.needs} & any_data())


def columns(zoo: Registry) -> list[Column]:
    """Every strategy with what it brings along, in order of names."""
    tasks, heads = zoo.entries("auxiliary-task"), zoo.entries("head")
    found = []
    for strategy in zoo.entries("strategy"):
        brought = [next((task for task in tasks if need in task.provides), None) for need in strategy.needs]
        head = next((head for need in strategy.needs for head in heads if need in head.provides), None)
        found.append(Column(strategy, tuple(dict.fromkeys(task for task in brought if task)), head))
    return found


def parts(zoo: Registry, backbone: Entry, column: Column) -> list[Entry]:
    """The parts of a pair: backbone, head, auxiliary tasks, strategy. Where the strategy brings no head, that of the model which the backbone comes from, else
    the first that the backbone's features suit."""
    if column.head is not None:
        return [backbone, *column.parts]
    model = lender(zoo, backbone)
    first = (model.head if model else HEAD, HEAD)
    heads = sorted(zoo.entries("head"), key=lambda head: (*(head.name != name for name in first), head.name))
    suits = [head for head in heads if not unmet([head, backbone]) and "fitted" not in head.provides]
    return [backbone, *(suits or heads)[:1], *column.parts]


def missing(chosen: Sequence[Entry]) -> list[str]:
    """The needs among these parts that none of them meets, nor any registered data set; [] where they fit together."""
    return sorted({need for _, needs in unmet(chosen, any_data()) for need in needs})


def markdown(zoo: Registry) -> str:
    """The page: introduction, table, and what strategies need of the data."""
    across = columns(zoo)
    rows = [["backbone", *(column.title for column in across)], ["---"] * (1 + len(across))]
    for backbone in zoo.entries("backbone"):
        cells = [missing(parts(zoo, backbone, column)) for column in across]
        rows.append([f"`{backbone.shown}`", *("yes" if not words else ", ".join(words) for words in cells)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    needs = [f"`{column.strategy.name}` needs {', '.join(words)}" for column in across if (words := column.data_needs())]
    data = f"\nOf the data, {'; '.join(needs)}.\n" if needs else ""
    return f"{INTRODUCTION}\n{table}\n{data}"


if __name__ == "__main__":
    print(markdown(registry()), end="")
