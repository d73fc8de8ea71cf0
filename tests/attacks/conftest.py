"""What the attacks share: a toy model, its good weights, a published folder of it, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from attacked import CARD, LABELS, SPEC

from merzoo.entries import Register
from merzoo.errors import MerzooError
from merzoo.files import dumps
from merzoo.published import CONFIG, WEIGHTS, config_of
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.weights import write


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """The model of these tests, registered as a plugin's is."""
    register = Register("tests-of-attacks")
    register.model(SPEC)
    registry().add(register)


@pytest.fixture
def recognizer() -> Recognizer:
    """The model with random weights, always the same."""
    torch.manual_seed(3)
    return assemble(SPEC, "small", LABELS)


@pytest.fixture
def weights(tmp_path: Path, recognizer: Recognizer) -> Path:
    """Good weights, as `merzoo train` writes them."""
    path = tmp_path / "good.safetensors"
    write(path, recognizer.saved(), CARD)
    return path


@pytest.fixture
def folder(tmp_path: Path, recognizer: Recognizer) -> Path:
    """A good published folder."""
    made = tmp_path / "published"
    made.mkdir()
    write(made / WEIGHTS, recognizer.saved(), CARD)
    (made / CONFIG).write_text(dumps(config_of(recognizer, made / WEIGHTS, CARD).to_json()), encoding="utf-8")
    return made


@pytest.fixture
def refused() -> Callable[..., str]:
    """`refused(action, *words)`: the text of the error that the action raises, which is one printable line of bearable length that has these words."""

    def check(action: Callable[[], object], *words: str) -> str:
        with pytest.raises(MerzooError) as caught:
            action()
        text = str(caught.value)
        assert text.isprintable() and len(text) < 1500, text
        for word in words:
            assert word in text, text
        return text

    return check
