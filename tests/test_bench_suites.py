"""The suites under benchmarks/ run, and two of their runs are compared as they should be."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merzoo.cli.guard import guarded

ROOT = Path(__file__).parents[1]
SUITES = ROOT / "benchmarks" / "suites"
FEW = "not forward or ststnet or flow-svm"  # every model would take half a minute
MACHINE = {"cpu": "toy cpu", "cores": 2, "python": "3.12.1", "torch": "2.11.0"}
Compare = Callable[..., subprocess.CompletedProcess[str]]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suites as `make bench` does, in a process that knows nothing of this one's workers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600, check=False)


@pytest.mark.slow
def test_every_suite_runs() -> None:
    done = bench(str(SUITES), "--benchmark-disable", "-k", FEW, "-rp")
    assert done.returncode == 0, done.stdout
    ran = set(re.findall(r"^PASSED benchmarks/suites/(\w+)\.py::", done.stdout, re.MULTILINE))
    assert ran == {path.stem for path in SUITES.glob("bench_*.py")}
    assert "skipped" not in done.stdout and "warning" not in done.stdout.lower()


def test_a_saved_run_says_what_it_ran_on_and_nothing_of_whose_machine_it_was(compare: Compare, tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    done = bench(f"{SUITES}/bench_import.py", "-k", "bench_python", "--benchmark-min-rounds=2", "--benchmark-max-time=0.01", f"--benchmark-json={saved}")
    assert done.returncode == 0 and f"Wrote benchmark data in: {saved}" in done.stdout + done.stderr, done
    found = json.loads(saved.read_text())
    assert found["machine_info"]["python"] == platform.python_version() and found["machine_info"]["cores"] == os.cpu_count()
    (only,) = found["benchmarks"]
    assert (only["group"], only["name"]) == ("import", "bench_python") and "data" not in only["stats"]
    assert set(found["commit_info"]) == {"id", "time", "dirty"}
    mine = {platform.node(), str(ROOT), str(Path.home()), str(tmp_path)} - {"", "/"}
    assert not [name for name in mine if name in saved.read_text()]
    same = compare(saved, saved)
    assert (same.returncode, same.stderr) == (0, "") and "import: python" in same.stdout


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """benchmarks/compare.py as a command."""
    spec = importlib.util.spec_from_file_location("compare_benchmarks", ROOT / "benchmarks" / "compare.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["compare.py", *words])
        capsys.readouterr()
        return subprocess.CompletedProcess(words, guarded(module.main), *capsys.readouterr())

    return command


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of some benchmarks, {name: (median, iqr) or (median, iqr, yardstick before, after)} in seconds, on the toy machine or one that differs."""

    def write(name: str, timings: dict[str, tuple[float, ...]], **differs: Any) -> Path:
        found = [
            {"group": "area", "name": f"bench_{each}", "stats": {"median": t[0], "iqr": t[1]}, "extra_info": {"yardstick": t[2:] or (0.02, 0.02)}}
            for each, t in timings.items()
        ]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"machine_info": {**MACHINE, **differs}, "benchmarks": found}))
        return path

    return write


def test_what_became_slower_is_told_from_noise(compare: Compare, run: Callable[..., Path]) -> None:
    a = run("a", {"grown": (0.1, 0.001), "same": (0.2, 0.002), "shrunk": (0.003, 1e-5), "wide": (1e-6, 5e-7), "crowded": (0.1, 0.001)})
    b = run("b", {"grown": (0.15, 0.002), "same": (0.21, 0.001), "shrunk": (0.001, 1e-5), "wide": (1.4e-6, 1e-9), "crowded": (0.14, 0.001, 0.02, 0.03)})
    done = compare(a, b)
    assert (done.returncode, done.stderr) == (1, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["benchmark", "A", "IQR", "B", "IQR", "B", "/", "A", "machine"]
    assert [re.split(r"  +", row) for row in rows[:5]] == [
        ["area: grown", "100 ms", "1.0%", "150 ms", "1.3%", "1.500", "1.00 – 1.00", "slower"],
        ["area: crowded", "100 ms", "1.0%", "140 ms", "0.7%", "1.400", "1.00 – 1.50", "as the machine"],
        ["area: wide", "1 µs", "50.0%", "1.4 µs", "0.1%", "1.400", "1.00 – 1.00", "within the spread"],
        ["area: same", "200 ms", "1.0%", "210 ms", "0.5%", "1.050", "1.00 – 1.00"],
        ["area: shrunk", "3 ms", "0.3%", "1 ms", "1.0%", "0.333", "1.00 – 1.00", "faster"],
    ]
    assert rows[5:] == [
        "A: the fixed matrix product between the benchmarks took 20.0 ms, spread 0%",
        "B: the fixed matrix product between the benchmarks took 20.0 ms, spread 50%; above 3%: something else ran too",
        "of 5 benchmarks beyond a ratio of 1.1: 1 slower, 1 faster, 1 within the spread, 1 as the machine",
    ]


def test_what_only_one_run_has_is_named_and_the_limit_can_be_moved(compare: Compare, run: Callable[..., Path]) -> None:
    a, b = run("a", {"kept": (0.1, 0.001), "gone": (0.1, 0.001)}), run("b", {"kept": (0.12, 0.001), "new": (0.1, 0.001)})
    assert compare(a, b).returncode == 1
    done = compare(a, b, "--limit", "1.3")
    assert done.returncode == 0
    assert "only in A: area: gone\n" in done.stdout and "only in B: area: new\n" in done.stdout
    assert compare(b, a).returncode == 0  # faster is no fault


def test_two_machines_are_refused_unless_that_is_meant(compare: Compare, run: Callable[..., Path], one_line: Callable[..., str]) -> None:
    a, b = run("a", {"kept": (0.1, 0.001)}), run("b", {"kept": (0.1, 0.001)}, cores=64, torch="2.12.0")
    line = one_line(compare(a, b))
    assert "cores 2 and 64; torch 2.11.0 and 2.12.0" in line and line.endswith("make both on one, or give --across-machines")
    assert compare(a, b, "--across-machines").returncode == 0


def test_what_cannot_be_compared_is_refused_with_the_remedy(compare: Compare, run: Callable[..., Path], one_line: Callable[..., str], tmp_path: Path) -> None:
    a, other = run("a", {"kept": (0.1, 0.001)}), run("other", {"new": (0.1, 0.001)})
    foreign, empty = tmp_path / "foreign.json", run("empty", {"kept": (0.0, 0.0)})
    foreign.write_text('{"machine_info": {"cpu": {}}, "benchmarks": []}')
    for arguments, said in (
        ((a, other), "no benchmark is in both files"),
        ((a, foreign), "give a file that make bench wrote"),
        ((a, empty), "give a file that make bench wrote"),
        ((a, tmp_path / "none.json"), "is missing"),
        ((a, a, "--limit", "0.9"), "as in --limit 1.10"),
    ):
        assert said in one_line(compare(*arguments))
