"""How long `merzoo list` takes with many installed plugins, each as an installer leaves it.

    python benchmarks/plugins.py [--plugins 50] [--runs 15]

Makes distributions in a temporary folder (a package of three compiled modules of which one imports torch, a card of weights, a .dist-info with all its files)
and runs fresh processes that see them, in turns, so that what else the machine does meets all alike. Prints the median of each and its ratio to
`merzoo --version`, beside the interpreter that starts and does nothing.
"""

from __future__ import annotations

import argparse
import base64
import compileall
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

INIT = '''"""A network of a paper, for merzoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from {package}.models import spec

if TYPE_CHECKING:
    from merzoo.entries import Register

__version__ = "1.0.{number}"


def merzoo_register(register: Register) -> None:
    """Register the network and its model."""
    register.backbone("{name}", "{package}.network:Network", provides=("pooled",), summary="a network of its own")
    register.head("{name}-head", "{package}.network:Head", needs=("pooled",), summary="a head of its own")
    register.model(spec())
'''
MODELS = '''"""What the model consists of."""

from __future__ import annotations

from pathlib import Path

from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, embedded

PAPER = Paper("On a network", "Somebody", 2024, "2401.00000", (Reported("casme2:5", "loso", "uf1", 0.7, "Table 1"),))


def spec() -> ModelSpec:
    """The model of the paper."""
    presets = {{"full": Preset(preprocessing=Preprocessing(size=224)), "small": Preset(backbone={{"width": 8}}, strategy={{"epochs": 12}})}}
    weights = embedded(Path(__file__).parent, "{name}")
    return ModelSpec("{name}", "a network of its own", "{name}", "{name}-head", presets=presets, weights=weights, paper=PAPER)
'''
NETWORK = '''"""The network."""

import torch

from merzoo.interfaces import Backbone, Head


class Network(Backbone):
    """A network."""


class Head(Head):
    """A head."""


ONE = torch.ones(1)
'''
README = "\n".join(f"- line {number} of a page that says what the paper says, what is our choice, and what was checked" for number in range(120))
METADATA = f"""Metadata-Version: 2.4
Name: {{name}}
Version: 1.0.{{number}}
Summary: A network of a paper, for merzoo
License-Expression: Apache-2.0
Requires-Python: >=3.11
Description-Content-Type: text/markdown
License-File: LICENSE
Requires-Dist: merzoo>=0.1
Requires-Dist: torch>=2
Provides-Extra: dev
Requires-Dist: pytest>=8; extra == "dev"
Dynamic: license-file

{README}
"""


def install(folder: Path, count: int) -> None:
    """Leave `count` distributions in a folder as pip would in site-packages."""
    for number in range(count):
        name, package = f"stranger-{number}", f"stranger_{number}"
        card = {"tag": "small", "preset": "small", "source": f"package:{package}/weights/{name}-small.safetensors", "sha256": "0" * 64}
        card |= {"labels": ["negative", "positive", "surprise"], "trained_on": {"data": "synthetic:weights", "manifest_hash": "0" * 64, "subjects": _people()}}
        texts = {"name": name, "package": package, "number": number}
        files = {
            f"{package}/__init__.py": INIT.format(**texts),
            f"{package}/models.py": MODELS.format(**texts),
            f"{package}/network.py": NETWORK,
            f"{package}/weights/{name}-small.json": json.dumps(card),
        }
        info = f"{package}-1.0.{number}.dist-info"
        about = {"INSTALLER": "pip\n", "METADATA": METADATA.format(**texts), "REQUESTED": "", "WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n"}
        about |= {"entry_points.txt": f"[merzoo]\n{name} = {package}\n", "top_level.txt": f"{package}\n", "licenses/LICENSE": "Apache-2.0\n"}
        files |= {f"{info}/{file}": text for file, text in about.items()}
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        (folder / info / "RECORD").write_text("".join(_record(path, text) for path, text in files.items()) + f"{info}/RECORD,,\n", encoding="utf-8")
    compileall.compile_dir(folder, quiet=1)


def _people() -> list[str]:
    return [f"synthetic/weights-{number:03d}" for number in range(40)]


def _record(path: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{path},sha256={digest},{len(text.encode())}\n"


def measure(folder: Path, runs: int) -> Iterator[tuple[str, float]]:
    """Median seconds of each command, by what it is."""
    merzoo = [sys.executable, "-m", "merzoo"]
    commands = {
        "python, nothing imported": ([sys.executable, "-c", "pass"], False),
        "merzoo --version": ([*merzoo, "--version"], False),
        "merzoo list, no further plugin": ([*merzoo, "list"], False),
        "merzoo list, all of them": ([*merzoo, "list"], True),
        "merzoo plugins, all of them": ([*merzoo, "plugins"], True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MERZOO_", "PYTHON"))}
    for run in range(runs + 1):
        for name, (command, crowded) in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=plain | ({"PYTHONPATH": str(folder)} if crowded else {}), stdout=subprocess.DEVNULL, check=True)
            if run:  # the first one reads from the disk what the others find in memory
                seconds[name].append(time.perf_counter() - began)
    return ((name, statistics.median(values)) for name, values in seconds.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder), args.plugins)
        medians = dict(measure(Path(folder), args.runs))
    print(f"{args.plugins} further plugins, median of {args.runs} processes each")
    for name, value in medians.items():
        print(f"  {name:<32} {value:6.3f} s   {value / medians['merzoo --version']:5.1f} x merzoo --version")


if __name__ == "__main__":
    main()
