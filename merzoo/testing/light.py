"""Which heavy libraries a plugin imports when it is registered, and where: `python -m merzoo.testing.light PLUGIN` in a fresh process prints them as JSON."""

from __future__ import annotations

import importlib.abc
import json
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merzoo.plugins import installed, load_registry

HEAVY = (
    *("torch", "torchvision", "timm", "numpy", "pandas", "scipy", "sklearn", "cv2", "skimage", "PIL", "matplotlib", "huggingface_hub", "safetensors"),
    *("transformers", "tensorflow", "jax", "rich", "jinja2"),
)
_INNER = ("importlib", "<frozen", __file__)


class Watch(importlib.abc.MetaPathFinder):
    """Notes the first import of each heavy library, and the line outside merzoo and Python that led to it."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}  # library -> file, line

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        """Finds nothing, ever."""
        if fullname in HEAVY and fullname not in self.seen:
            self.seen[fullname] = _where(traceback.extract_stack())


def _where(stack: Sequence[traceback.FrameSummary]) -> str:
    """The innermost line that is neither the core's nor that of an import machinery or another heavy library."""
    core = str(Path(__file__).parents[1])
    frames = [frame for frame in stack if not any(word in frame.filename for word in _INNER) and not frame.filename.startswith(core)]
    frames = [frame for frame in frames if not {part.lower() for part in Path(frame.filename).parts} & set(HEAVY)]
    return f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else "its entry point"


def main(name: str) -> dict[str, str]:
    """Load one plugin alone, as `merzoo list` does, and give {heavy library: where it is imported}."""
    watch = Watch()
    sys.meta_path.insert(0, watch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_registry([found for found in installed() if found.name == name], choice="")
    return watch.seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
