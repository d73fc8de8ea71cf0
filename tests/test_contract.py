"""The contract: one suite over every registered model. That each check can fail is shown in test_contract_checks.py."""

from __future__ import annotations

import pytest

from merzoo.data.clips import ClipData
from merzoo.registry import registry
from merzoo.testing.contract import CHECKS, Case

MODELS = [entry.name for entry in registry().entries("model")]


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest) -> Case:
    """One model, whose training serves all checks."""
    return Case.of(request.param)


@pytest.mark.parametrize("check", CHECKS)
def test_model(case: Case, check: str) -> None:
    CHECKS[check](case)


@pytest.mark.parametrize("check", ["builds_on_meta", "is_described"])
@pytest.mark.parametrize("model", MODELS)
def test_full_size(tiny: ClipData, model: str, check: str) -> None:
    """What no clip is needed for, at the papers' size: the crops of the data given are never looked at."""
    spec = registry().model(model)
    if "full" in spec.presets:
        CHECKS[check](Case(spec, tiny, "full"))


def test_the_suite_sees_every_model_by_its_own_id() -> None:
    assert len(set(MODELS)) == len(MODELS)
