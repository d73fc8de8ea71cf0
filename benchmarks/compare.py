"""Two runs of the suites on one machine, benchmark by benchmark, the largest ratio first.

    python benchmarks/compare.py A.json B.json [--limit 1.10]        A: before, B: after; both written by `make bench`

A benchmark is called slower where its median in B is above that in A by more than the limit, by more than the interquartile range of either run, and by more
than the limit beyond what the machine may have become slower. That is told by a fixed matrix product, timed before and after each benchmark: the column
"machine" has the least and the largest ratio of those of B to those of A. Faster likewise. Ends with 1 where any is slower, with 2 where the files cannot be
compared.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merzoo.cli.guard import guarded
from merzoo.cli.output import print_lines, print_table
from merzoo.errors import DataError, UsageError
from merzoo.files import read_json

MACHINE = ("cpu", "cores", "python", "torch")
NOISY = 0.03  # of the fixed product's spread, as in cost results
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
SPREAD, AS_MACHINE = "within the spread", "as the machine"


@dataclass(frozen=True)
class Timing:
    """A round of a benchmark, in seconds. iqr: interquartile range; yardstick: the fixed matrix product, before and after."""

    median: float
    iqr: float
    yardstick: tuple[float, float]

    def __post_init__(self) -> None:
        if not (self.median > 0 <= self.iqr and min(self.yardstick) > 0):
            raise ValueError("no times")

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Timing:
        """From a benchmark in the file."""
        return cls(found["stats"]["median"], found["stats"]["iqr"], tuple(found["extra_info"]["yardstick"]))

    def __str__(self) -> str:
        unit, size = next((each for each in UNITS if self.median >= each[1]), UNITS[-1])
        return f"{self.median / size:.3g} {unit}"


@dataclass(frozen=True)
class Run:
    """What `make bench` saved: the machine, and {benchmark: timing}."""

    machine: Mapping[str, Any]
    timings: Mapping[str, Timing]

    @classmethod
    def read(cls, path: Path) -> Run:
        """Raises `RunError` where there is no JSON, `DataError` where it is of something else."""
        found = read_json(path)
        try:
            machine = {name: found["machine_info"][name] for name in MACHINE}
            timings = {f"{each['group']}: {each['name'].removeprefix('bench_')}": Timing.of(each) for each in found["benchmarks"]}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"{path} was not written by the suites; give a file that make bench wrote") from None
        return cls(machine, timings)

    def noise(self) -> str:
        """How long the fixed product took and how much that varied."""
        times = [time for timing in self.timings.values() for time in timing.yardstick]
        middle = statistics.median(times)
        spread = (max(times) - min(times)) / middle
        verdict = f"; above {NOISY:.0%}: something else ran too" if spread > NOISY else ""
        return f"{1e3 * middle:.1f} ms, spread {spread:.0%}{verdict}"


@dataclass(frozen=True)
class Pair:
    """One benchmark in both runs."""

    name: str
    a: Timing
    b: Timing

    @property
    def ratio(self) -> float:
        """B / A of the medians."""
        return self.b.median / self.a.median

    @property
    def machine(self) -> tuple[float, float]:
        """Least and largest B / A of the fixed product beside them."""
        return min(self.b.yardstick) / max(self.a.yardstick), max(self.b.yardstick) / min(self.a.yardstick)

    def verdict(self, limit: float) -> str:
        """"slower" or "faster"; or why a ratio beyond the limit says neither; else ""."""
        if 1 / limit <= self.ratio <= limit:
            return ""
        if abs(self.b.median - self.a.median) <= max(self.a.iqr, self.b.iqr):
            return SPREAD
        if self.ratio > 1:
            return "slower" if self.ratio > limit * self.machine[1] else AS_MACHINE
        return "faster" if self.ratio < self.machine[0] / limit else AS_MACHINE

    def row(self, limit: float) -> tuple[str, ...]:
        """Its line of the table."""
        sides = [cell for side in (self.a, self.b) for cell in (str(side), f"{side.iqr / side.median:.1%}")]
        return self.name, *sides, f"{self.ratio:.3f}", "{:.2f} – {:.2f}".format(*self.machine), self.verdict(limit)


def compare(a: Run, b: Run, limit: float, across_machines: bool) -> list[Pair]:
    """The benchmarks of both runs, the largest ratio first. Raises `UsageError` for runs of two machines, unless that is meant, and where no benchmark is in
    both."""
    if not limit > 1:
        raise UsageError(f"--limit {limit:g} is not above 1; give the ratio from which slower is too slow, as in --limit 1.10")
    differ = [f"{name} {a.machine[name]} and {b.machine[name]}" for name in MACHINE if a.machine[name] != b.machine[name]]
    if differ and not across_machines:
        raise UsageError(f"the runs are of two machines ({'; '.join(differ)}); make both on one, or give --across-machines")
    shared = a.timings.keys() & b.timings.keys()
    if not shared:
        raise UsageError("no benchmark is in both files; give two runs of the same suites")
    return sorted((Pair(name, a.timings[name], b.timings[name]) for name in shared), key=lambda pair: (-pair.ratio, pair.name))


def show(a: Run, b: Run, pairs: list[Pair], limit: float) -> int:
    """Print the table and what stands beside it; gives the exit code."""
    print_table(("benchmark", "A", "IQR", "B", "IQR", "B / A", "machine", ""), [pair.row(limit) for pair in pairs])
    for side, mine, other in (("A", a, b), ("B", b, a)):
        print_lines(f"only in {side}: {name}" for name in sorted(mine.timings.keys() - other.timings.keys()))
        print_lines([f"{side}: the fixed matrix product between the benchmarks took {mine.noise()}"])
    verdicts = [pair.verdict(limit) for pair in pairs]
    counts = [f"{verdicts.count(word)} {word}" for word in ("slower", "faster", SPREAD, AS_MACHINE)]
    print_lines([f"of {len(pairs)} benchmarks beyond a ratio of {limit:g}: {', '.join(counts)}"])
    return int("slower" in verdicts)


def main() -> int:
    """Read both files and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, metavar="A.json")
    parser.add_argument("b", type=Path, metavar="B.json")
    parser.add_argument("--limit", type=float, default=1.10, help="ratio of the medians from which slower is too slow (default: %(default)s)")
    parser.add_argument("--across-machines", action="store_true", help="compare runs of two machines, Pythons or torches all the same")
    args = parser.parse_args()
    a, b = Run.read(args.a), Run.read(args.b)
    return show(a, b, compare(a, b, args.limit, args.across_machines), args.limit)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
