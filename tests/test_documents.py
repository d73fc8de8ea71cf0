"""Every command and every piece of Python in README.md and CONTRIBUTING.md is run as it stands there, in order, as a reader would type it.

What is other than for the reader: data are the smallest synthetic part and trees of grey pictures instead of licensed sets, and networks of papers are trained
for an epoch, so that minutes become seconds;
`make` only says what it would run, since this test is part of it; the virtual environment is a new one that sees the installed packages; and the Hub is that of
the tests, on loopback.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hub_server import Hub

ROOT = Path(__file__).resolve().parents[1]
SHORT = "strategy.autoencoder.steps=2,strategy.pretext.steps=2,strategy.fine_tuning.epochs=1"
SMALLER = {  # in a document: in this test
    "synthetic:development": "synthetic:tiny",
    "synthetic-development": "synthetic-tiny",
    "synthetic:weights": "synthetic:tiny",
    "make demo": f"make -n -C {ROOT} demo",
    "make test": f"make -n -C {ROOT} test",
    "--root DIR": "--root casme2",
    "benchmark ststnet flow-svm --preset small": "benchmark ststnet --preset small --scenario latency --samples 30",
    " miacnet --preset small": " miacnet,strategy.epochs=1 --preset small",
    "evaluate lightmannet+linear+ma2mi+future-frame": f"evaluate lightmannet+linear+ma2mi+future-frame,{SHORT}",
    "evaluate miacnet-ma2mi --set": f"evaluate miacnet-ma2mi,{SHORT} --set",
    "--repo you/": "--repo tester/",
    "hf-hub:you/": "hf-hub:tester/",
    "python3 -m venv .venv": "python3 -m venv --without-pip another",
    "python -m pytest": "python -m pytest --co -q plugins/merzoo-baselines",
}
EMOTIONS = ("happiness", "surprise", "disgust", "repression", "others")
FINDINGS = {"data verify": 1, "audit runs/casme2": 1}  # exit codes: the totals of such a tree are not the published ones, and grey pictures are all alike
_FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
_PATH = re.compile(r"(?:# |<!-- )([\w./-]+\.\w+)(?: -->)?\n")


@dataclass(frozen=True)
class Block:
    """A block of code in a document. language: "sh" for commands, indented ones too."""

    language: str
    text: str


def blocks(document: str) -> Iterator[Block]:
    """Blocks in order: fenced ones, and commands indented by four spaces."""
    at = 0
    for fence in _FENCE.finditer(document):
        yield from _indented(document[at : fence.start()])
        yield Block(fence[1], fence[2])
        at = fence.end()
    yield from _indented(document[at:])


def _indented(text: str) -> Iterator[Block]:
    for found in re.finditer(r"(?:^    \S.*\n)+", text, re.MULTILINE):
        lines = [line[4:] for line in found[0].splitlines()]
        if any(re.match(r"(\S*/)?(merzoo|make|pip|python3?|pytest)\s", line) for line in lines):
            yield Block("sh", "\n".join(lines))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder as the reader has it: .venv with merzoo, a video of theirs, and a copy of CASME II's layout."""
    from merzoo.data.synthetic.video import write_video
    from merzoo.testing.trees import Annotated, casme2

    venv.create(tmp_path / ".venv", with_pip=True)
    packages = next((tmp_path / ".venv" / "lib").glob("python*/site-packages"))
    for old in packages.glob("setuptools*"):  # that of Python 3.11 is older than what the distributions ask for
        shutil.rmtree(old)
    (packages / "installed.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()))
    (tmp_path / ".venv" / "bin" / "ruff").symlink_to(Path(sys.executable).with_name("ruff"))
    for name in ("merzoo", "pytest", "mypy"):
        script = tmp_path / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {tmp_path}/.venv/bin/python -m {name} "$@"\n')
        script.chmod(0o755)
    write_video(tmp_path / "mine.avi")
    (tmp_path / "clip.mp4").symlink_to("mine.avi")
    rows = [Annotated(subject, f"EP{clip:02}_{subject:02}", 1, 4, 8, "4", emotion) for subject in (1, 2, 3) for clip, emotion in enumerate(EMOTIONS, 1)]
    casme2(tmp_path / "casme2", rows)
    for name in ("merzoo", "plugins"):  # a checkout, for `pip install -e .`
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def smaller(text: str) -> str:
    for long, short in SMALLER.items():
        text = text.replace(long, short)
    return text


def run(desk: Path, hub: Hub, command: list[str], what: str) -> None:
    path = f"{desk / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment = {**kept, "PATH": path, "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **hub.environment, "HF_TOKEN": hub.token}
    done = subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == next((code for words, code in FINDINGS.items() if words in what), 0), f"{what}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def run_python(desk: Path, hub: Hub, text: str) -> None:
    """Each statement as it stands; one whose comment names an error has to raise it."""
    lines = text.splitlines()
    code = []
    for statement in ast.parse(text).body:
        source = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
        if error := re.search(r"#\s*(\w+Error)\b", source):
            code.append(f"from merzoo.errors import {error[1]}\ntry:\n    {source}\nexcept {error[1]}:\n    pass\nelse:\n    raise SystemExit('no error')")
        else:
            code.append(source)
    run(desk, hub, [str(desk / ".venv/bin/python"), "-c", smaller("\n".join(code))], text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_a_document_says_to_type_works(desk: Path, hub: Hub, name: str) -> None:
    found = list(blocks((ROOT / name).read_text(encoding="utf-8")))
    assert {block.language for block in found} <= {"sh", "python", "markdown"}
    assert sum(block.language == "sh" for block in found) >= 4
    python = ""  # a reader types all of it in one session
    for block in found:
        path = _PATH.match(block.text)
        if path:
            file = desk / path[1]
            assert file.is_file(), f"{name} replaces {path[1]}, which is not there"
            file.write_text(block.text.removeprefix(path[0]), encoding="utf-8")
        elif block.language == "python":
            run_python(desk, hub, python + block.text)
            python += block.text
        elif block.language == "sh":
            for line in smaller(block.text).splitlines():
                run(desk, hub, ["bash", "-c", line], line)


def test_blocks_of_a_document_are_found_in_order() -> None:
    text = "a\n\n    make test\n    merzoo list   # all\n\nb\n\n    merzoo/   the core\n\n```sh\nmerzoo info x\n```\n\n```python\n1\n```\n"
    assert [(b.language, b.text) for b in blocks(text)] == [("sh", "make test\nmerzoo list   # all"), ("sh", "merzoo info x\n"), ("python", "1\n")]
