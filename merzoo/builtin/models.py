"""The models that come with the core: baselines that any paper should beat."""

from __future__ import annotations

from merzoo.specs import ModelSpec

MODELS: tuple[ModelSpec, ...] = ()
