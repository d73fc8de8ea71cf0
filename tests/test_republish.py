"""Publishing again: what changes for those who read the repository is told."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest

from merzoo.errors import MerzooWarning
from merzoo.publish.before import differences
from merzoo.publish.folder import Publication, prepare
from merzoo.published import CARD, CONFIG, WEIGHTS

REPO = "tester/tiny"


def uploaded(hub: Any, made: Publication, **other: str) -> str:
    """Put a publication into the Hub, with other texts where some are given."""
    return str(hub.put(REPO, {**made.texts, WEIGHTS: made.weights.read_bytes(), **other}))


@pytest.fixture
def there(hub: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compare a publication with the repository as it is, in this process."""
    from huggingface_hub import constants

    settings = {"ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(hub.home / "hub")}
    settings["HUGGINGFACE_CO_URL_TEMPLATE"] = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")

    def compare(made: Publication, digests: dict[str, str] | None = None) -> list[str]:
        known = {CARD: "", CONFIG: "", WEIGHTS: made.config.sha256} if digests is None else digests
        return [one.told() for one in differences(REPO, hub.repo(REPO).head, known, made.config)]

    return compare


def test_weights_model_and_new_scores_are_told(trained: Path, evaluated: Path, hub: Any, there: Any) -> None:
    bare, scored = prepare(trained, REPO), prepare(trained, REPO, evaluated)
    uploaded(hub, bare)
    assert there(bare) == []
    (line,) = there(scored)
    assert line.startswith("scores: none becomes UF1 0.") and line.endswith("under loso on synthetic:tiny")
    other = dataclasses.replace(scored, config=dataclasses.replace(bare.config, preset="full", labels=("a", "b"), sha256="cd" * 32))
    before = bare.config
    assert there(other, {CARD: "", CONFIG: "", WEIGHTS: before.sha256}) == [
        f"model: {before.model} (small) becomes {before.model} (full)",
        f"labels: {', '.join(before.labels)} becomes a, b",
        f"weights: sha256 {before.sha256[:12]}… becomes sha256 cdcdcdcdcdcd…",
    ]


@pytest.mark.parametrize(
    ("card", "was"),
    [
        ("---\nlicense: mit\n---\n# mine", "mit"),  # changed by hand on the Hub: the card is what people read
        ("---\nlicense: other\nlicense_name: \"of\\u202Emine\"\n---\n", r"of\u202emine"),
        ("---\nlicense: [mit]\n---\n", "cc-by-4.0"),
        ("---\nlicense: !!python/object:os.system {}\n---\n", "cc-by-4.0"),
        ("no head", "cc-by-4.0"),
    ],
)  # fmt: skip
def test_what_somebody_wrote_there_is_read_with_distrust(trained: Path, hub: Any, there: Any, card: str, was: str) -> None:
    uploaded(hub, prepare(trained, REPO, licence="cc-by-4.0"), **{CARD: card})
    (line,) = there(prepare(trained, REPO))
    assert line.startswith(f"licence: {was} becomes apache-2.0")


def test_a_repository_of_something_else_is_told(trained: Path, hub: Any, there: Any) -> None:
    made = prepare(trained, REPO)
    uploaded(hub, made, **{CONFIG: '{"architectures": []}', CARD: "mine"})
    assert there(made) == ["licence: none becomes apache-2.0", f"model: none of merzoo's becomes {made.config.model} (small)"]
    hub.fault(f"/{REPO}/*", "status", times=None, code=403)
    uploaded(hub, made)
    (line,) = there(made)
    assert line.startswith("what is there now: not compared (") and "403" in line


def test_a_licence_that_the_hub_does_not_list_is_doubted(trained: Path) -> None:
    with pytest.warns(MerzooWarning, match=r"proprietary-xyz is not among the licences that the Hub lists.*give other"):
        prepare(trained, REPO, licence="proprietary-xyz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare(trained, REPO, licence="openrail++").config.licence == "openrail++"
