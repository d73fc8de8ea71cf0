"""A model zoo for micro-expression recognition. Everything here is loaded when first asked for, so that `import merzoo` costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from merzoo.version import __version__

if TYPE_CHECKING:
    from merzoo.batch import predict_all
    from merzoo.evaluation.evaluate import evaluate
    from merzoo.loading import load
    from merzoo.prediction import predict
    from merzoo.recognizer import build
    from merzoo.registry import info, list_models

__all__ = ["__version__", "build", "evaluate", "info", "list_models", "load", "predict", "predict_all"]

_LAZY = {
    "build": "merzoo.recognizer",
    "evaluate": "merzoo.evaluation.evaluate",
    "info": "merzoo.registry",
    "list_models": "merzoo.registry",
    "load": "merzoo.loading",
    "predict": "merzoo.prediction",
    "predict_all": "merzoo.batch",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'merzoo' has no attribute '{name}'")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
