"""A published folder: told without its weights, loaded as a model or as weights of one, and refused where it is not what its name means here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import merzoo
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import LeakageError, MerzooWarning, UnknownNameError, UsageError, WeightsError
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.starting import named_start
from merzoo.publish.folder import prepare
from merzoo.published import CONFIG, WEIGHTS
from merzoo.registry import registry
from merzoo.training.train import train
from merzoo.weights import read, write


@pytest.fixture(scope="module")
def published(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `merzoo publish --dry-run` writes of a small training run."""
    folder = tmp_path_factory.mktemp("published") / "small-net"
    prepare(trained, "tester/small-net").write(folder)
    return folder


def edited(folder: Path, to: Path, **changed: object) -> str:
    """A copy whose config says something else, and so does the header of its weights where they speak of it; its name."""
    to.mkdir()
    tensors, card = read(folder / WEIGHTS)
    digest = write(to / WEIGHTS, tensors, {**card, **{name: value for name, value in changed.items() if name in card}})
    weights = {"file": WEIGHTS, "sha256": digest, "bytes": (to / WEIGHTS).stat().st_size}
    (to / CONFIG).write_text(json.dumps({**json.loads((folder / CONFIG).read_text()), "weights": weights, **changed}))
    return f"local-dir:{to}"


def test_it_loads_with_the_bits_of_the_run(published: Path, trained: Path) -> None:
    loaded = merzoo.load(f"local-dir:{published}")
    run = merzoo.load("ststnet,strategy.epochs=2", trained / "weights.safetensors")
    assert loaded.state_dict().keys() == run.state_dict().keys()
    assert all(torch.equal(value, run.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert loaded.weights is not None and loaded.weights.tag == "small-net" and loaded.weights.trained_on["data"] == "synthetic:tiny"
    assert loaded.spec.name == "ststnet,strategy.epochs=2" and loaded.labels == run.labels


def test_it_serves_as_weights_of_a_model_of_the_same_network_and_of_no_other(published: Path) -> None:
    assert merzoo.load("ststnet", f"local-dir:{published}").spec.name == "ststnet"  # its training is no part of a network
    with pytest.raises(WeightsError, match=r"holds weights of 'ststnet,strategy.epochs=2', not of miacnet; load them by that name"):
        merzoo.load("miacnet", f"local-dir:{published}")
    with pytest.raises(UsageError, match="names its weights itself"):
        merzoo.load(f"local-dir:{published}", "synthetic")


def test_training_can_begin_from_it_and_who_knows_a_test_subject_is_refused(published: Path, tmp_path: Path) -> None:
    start = named_start(registry().model("ststnet"), f"local-dir:{published}")
    assert start.subjects == set(SyntheticFaces("tiny").table()["subject"])
    with pytest.raises(LeakageError, match="test subject synthetic:s5000"):
        evaluate("ststnet", "synthetic:tiny", out=tmp_path / "run", preset="small", weights=f"local-dir:{published}")
    assert not (tmp_path / "run" / "folds").exists()


def test_info_tells_the_model_and_its_own_weights_without_reading_them(published: Path, tmp_path: Path) -> None:
    name = edited(published, tmp_path / "told")
    (tmp_path / "told" / WEIGHTS).unlink()
    facts = merzoo.info(name)
    assert facts["name"] == name and [part["name"] for part in facts["parts"]] == ["ststnet", "linear", "supervised"]
    assert [weights["tag"] for weights in facts["weights"]] == ["told"] and facts["weights"][0]["trained_on"]["data"] == "synthetic:tiny"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("options", {"backbone": {"size": 96}, "head": {}, "auxiliary": {}, "strategy": {}}, 'options.backbone was {"size": 96}, here it is {"size": 112}'),
        ("parts", {"backbone": "ststnet", "head": "mlp", "auxiliary": [], "strategy": "supervised"}, 'parts.head was "mlp", here it is "linear"'),
        ("preprocessing", {"aligner": "eyes", "size": 256}, "preprocessing.size was 256, here it is 128"),
        ("views", {"train": {}, "test": {"flow": [{"kind": "flow", "options": {"method": "tvl1"}}]}, "reduce": "mean"}, "views.test was"),
    ],
)
def test_a_model_that_means_something_else_today_is_refused_with_the_versions_it_was_made_with(
    published: Path, tmp_path: Path, field: str, value: object, said: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        merzoo.load(edited(published, tmp_path / "other", **{field: value}))
    text = str(caught.value)
    assert said in text and "merzoo-baselines 0.1.0" in text


def test_another_training_of_the_same_network_loads(published: Path, tmp_path: Path) -> None:
    """How long it was trained decides nothing about what it computes."""
    options = json.loads((published / CONFIG).read_text())["options"]
    assert merzoo.load(edited(published, tmp_path / "longer", options={**options, "strategy": {"epochs": 99}})).labels


def test_a_model_whose_plugin_is_missing_says_which(published: Path, tmp_path: Path) -> None:
    name = edited(published, tmp_path / "unknown", model="pearnet", plugins={"merzoo": "0.1.0", "merzoo-pear": "3.1"})
    with pytest.raises(WeightsError, match=r"'pearnet', which is not known here .*install the plugin, if you trust it \(its config names merzoo-pear 3.1\)"):
        merzoo.load(name)


def test_another_version_of_its_plugin_is_told(published: Path, tmp_path: Path) -> None:
    with pytest.warns(MerzooWarning, match=r"was published with merzoo-baselines 0.0.7, here is 0.1.0: what it computes may differ"):
        merzoo.load(edited(published, tmp_path / "older", plugins={"merzoo": "0.1.0", "merzoo-baselines": "0.0.7"}))


@pytest.mark.parametrize("field", ["labels", "trained_on"])
def test_a_config_that_was_changed_by_hand_is_refused(published: Path, tmp_path: Path, field: str) -> None:
    """Turned labels would name every class wrongly; other people would hide whom it knows."""
    edited(published, tmp_path / "changed")
    path = tmp_path / "changed" / CONFIG
    facts = json.loads(path.read_text())
    facts[field] = facts[field][::-1] if field == "labels" else {**facts[field], "subjects": ["synthetic:s1"]}
    path.write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match=f"differ in {field}"):
        merzoo.load(f"local-dir:{tmp_path / 'changed'}")
    with pytest.raises(WeightsError, match=f"differ in {field}"):
        named_start(registry().model("ststnet"), f"local-dir:{tmp_path / 'changed'}")


def test_a_folder_given_as_weights_is_told_its_spelling(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published.parent)
    for wanted in (published, str(published), published.name):
        with pytest.raises(WeightsError, match=f"give local-dir:{wanted}"):
            merzoo.load("ststnet", wanted)
    with pytest.raises(WeightsError, match="a published model is hf-hub:org/repo"):
        merzoo.load("ststnet", f"hf://org/repo@{'a' * 40}/w.safetensors")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"architectures": ["X"]}', "is of no merzoo model"),
        ('{"format": 7, "merzoo": "9.9"}', "has the format 7, this merzoo reads 1, it was written by merzoo 9.9"),
    ],
)
def test_a_config_of_another_library_or_a_later_merzoo_is_named_so(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(WeightsError, match=said):
        merzoo.load(f"local-dir:{tmp_path}")


@pytest.mark.parametrize("name", ["local-dir:", "local-dir: "])
def test_no_folder_is_not_this_folder(published: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(published)
    with pytest.raises(WeightsError, match="names no folder; give local-dir:PATH"):
        merzoo.load(name)


def test_who_meant_a_published_model_is_told_its_spelling(published: Path) -> None:
    for name, said in ((str(published), f"local-dir:{published}"), ("tester/net", "hf-hub:org/repo"), ("HF_HUB:tester/net@main", "hf-hub:org/repo")):
        with pytest.raises(UnknownNameError, match=said):
            merzoo.load(name)
    with pytest.raises(UsageError, match="give its model and --from hf-hub:tester/net"):
        train("hf-hub:tester/net", "synthetic:tiny", out=published.parent / "run")
