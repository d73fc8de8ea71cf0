"""Weights: what is not exactly what it claims to be never gets into a network, and nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import merzoo
from merzoo.entries import Register
from merzoo.errors import LeakageError, MerzooError, UnknownNameError, WeightsError
from merzoo.loading import load
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, WeightsSpec
from merzoo.weights import differences, digest, locate, open_weights, read, verify, write

LABELS = ("negative", "positive", "surprise")
CARD = {"model": "flow-toy", "preset": "small", "labels": list(LABELS), "trained_on": {"data": "toy", "subjects": ["toy:s1"]}}
SPEC = ModelSpec(
    "flow-toy", "for tests", "flow-grid", "linear", presets={"small": Preset(backbone={"size": 16, "grid": 2}, preprocessing=Preprocessing(size=16))}
)


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    """The model of these tests, registered as a plugin's is."""
    register = Register("tests-of-weights")
    register.model(SPEC)
    registry().add(register)


def recognizer() -> Recognizer:
    torch.manual_seed(3)
    return assemble(SPEC, "small", LABELS)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Weights of the model above, as `merzoo train` writes them."""
    path = tmp_path / "good.safetensors"
    write(path, recognizer().saved(), CARD)
    return path


def with_weights(**changed: Any) -> ModelSpec:
    """The model with one WeightsSpec."""
    facts = {"tag": "v1", "preset": "small", "source": "", "sha256": "0" * 64, "labels": LABELS, **changed}
    return dataclasses.replace(SPEC, weights=(WeightsSpec(**facts),))


def refused(action: Callable[[], object], *words: str) -> str:
    """The text of the `WeightsError`: one line that has these words."""
    with pytest.raises(WeightsError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def with_header(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


# There and back


def test_a_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    tensors = {
        "floats": torch.randn(3, 5),
        "extremes": torch.tensor([0.0, -0.0, float("inf"), float("nan"), 1e-45]),
        "halves": torch.randn(7).half(),
        "whole": torch.arange(4),
        "flags": torch.tensor([True, False]),
        "single": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "turned": torch.randn(4, 6).T,
    }
    sha = write(tmp_path / "w.safetensors", tensors, {"note": "ä\n"})
    found, card = read(tmp_path / "w.safetensors")
    assert card == {"note": "ä\n"} and found.keys() == tensors.keys() and sha == digest(tmp_path / "w.safetensors")
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        assert found[name].numpy().tobytes() == value.contiguous().numpy().tobytes()


def test_tied_weights_are_written(tmp_path: Path) -> None:
    whole = torch.randn(4, 4)
    write(tmp_path / "w.safetensors", {"a": whole, "b": whole, "row": whole[1]}, {})
    found, _ = read(tmp_path / "w.safetensors")
    assert torch.equal(found["a"], found["b"]) and torch.equal(found["row"], whole[1])


@pytest.mark.parametrize("length", range(104, 656, 8))
def test_a_header_of_any_length_is_read(tmp_path: Path, length: int) -> None:
    """One of 128 bytes (and 384, 640, …) begins with the byte that a pickle begins with."""
    entry = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    path = with_header(tmp_path / "w.safetensors", entry.ljust(length), struct.pack("<2f", 1.5, -2))
    assert read(path)[0]["w"].tolist() == [1.5, -2]


def test_weights_load_by_path_with_the_bits_that_were_written(good: Path) -> None:
    loaded = load("flow-toy", good)
    assert loaded.labels == LABELS and loaded.preset == "small" and not loaded.training
    assert loaded.weights is not None and loaded.weights.trained_on["subjects"] == ["toy:s1"] and loaded.weights.sha256 == digest(good)
    assert all(torch.equal(value, recognizer().saved()[name]) for name, value in loaded.saved().items())
    assert torch.equal(load("flow-toy", str(good)).saved()["head.linear.weight"], loaded.saved()["head.linear.weight"])


# Files that are not what they claim to be


def test_a_changed_byte_is_noticed(good: Path) -> None:
    spec = with_weights(source=str(good), sha256=digest(good))
    assert open_weights(spec, "v1")[0].tag == "v1"
    content = bytearray(good.read_bytes())
    content[-1] ^= 1
    good.write_bytes(content)
    refused(lambda: open_weights(spec, "v1"), "sha256", "instead of", "damaged or changed")
    refused(lambda: verify(good, spec.weights[0].sha256), "sha256")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 60, -1])
def test_a_file_cut_off_anywhere_is_refused(good: Path, keep: int) -> None:
    content = good.read_bytes()
    good.write_bytes(content[:keep])
    refused(lambda: read(good), "cut off")


def test_bytes_after_the_end_are_refused(good: Path) -> None:
    good.write_bytes(good.read_bytes() + b"\0" * 8)
    refused(lambda: read(good))


@pytest.mark.parametrize(("name", "word"), [("none.safetensors", "do not exist"), (".", "do not exist"), ("x" * 300 + ".safetensors", "cannot be read")])
def test_a_path_without_a_file_is_one_line(tmp_path: Path, name: str, word: str) -> None:
    refused(lambda: load("flow-toy", tmp_path / name), word)


def test_a_folder_or_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    refused(lambda: digest(tmp_path), "Is a directory")
    refused(lambda: verify(tmp_path / "none", "0" * 64), "No such file")


# Keys and shapes


def test_everything_that_differs_is_listed() -> None:
    wanted = {"a": torch.zeros(2), "b": torch.zeros(3, 4), "c": torch.zeros(5), "d": torch.zeros(1), "gone": torch.zeros(1)}
    given = {"a": torch.zeros(2), "b": torch.zeros(4, 3), "c": torch.zeros(()), "d": torch.zeros(1, dtype=torch.int64), "more": torch.zeros(1)}
    text = refused(lambda: differences(wanted, given, "net@v1"), "net@v1", "missing key gone", "extra key more")
    assert "wrong shape b [4, 3] instead of [3, 4], c [] instead of [5]" in text and "wrong type d torch.int64 instead of torch.float32" in text


def test_a_long_list_is_cut_with_its_length() -> None:
    refused(lambda: differences({f"k{i}": torch.zeros(1) for i in range(9)}, {}, "net"), "missing key k0, k1, k2, k3 and 5 more")


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_refused_and_the_network_stays_as_it_is(good: Path, change: str) -> None:
    tensors = recognizer().saved()
    if change == "missing":
        del tensors["head.linear.bias"]
    elif change == "extra":
        tensors["head.more"] = torch.zeros(1)
    else:
        tensors["head.linear.bias"] = torch.zeros(1)  # it would broadcast
    write(good, tensors, CARD)
    refused(lambda: load("flow-toy", good), "do not fit the network", "head.")


def test_half_precision_fits(good: Path) -> None:
    write(good, {name: value.half() for name, value in recognizer().saved().items()}, CARD)
    assert load("flow-toy", good).saved()["head.linear.weight"].dtype == torch.float32


# Tags, cards and sources


def test_an_unknown_tag_lists_the_tags(good: Path) -> None:
    with pytest.raises(UnknownNameError, match="v1"):
        open_weights(with_weights(source=str(good)), "v9")
    with pytest.raises(UnknownNameError, match="it comes with no weights"):
        load("flow-toy@v1")


def test_a_model_without_weights_says_what_to_do() -> None:
    refused(lambda: load("flow-toy"), "merzoo train flow-toy")


CARDS = {
    "of another model": {**CARD, "model": "resnet18-apex"},
    "without labels": {k: v for k, v in CARD.items() if k != "labels"},
    "with labels in one text": {**CARD, "labels": "abc"},
    "with labels that are numbers": {**CARD, "labels": [1, 2, 3]},
    "without a preset": {k: v for k, v in CARD.items() if k != "preset"},
    "with a preset that is a list": {**CARD, "preset": ["small"]},
    "with trained_on in one text": {**CARD, "trained_on": "toy:s1"},
    "with subjects in one text": {**CARD, "trained_on": {"subjects": "toy:s1"}},
    "with subjects that are numbers": {**CARD, "trained_on": {"subjects": [1]}},
    "that is empty": {},
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_of_the_wrong_kind_is_refused(good: Path, case: str) -> None:
    write(good, recognizer().saved(), CARDS[case])
    refused(lambda: load("flow-toy", good), good.name)


def test_a_card_with_an_unknown_preset_lists_those_there_are(good: Path) -> None:
    write(good, recognizer().saved(), {**CARD, "preset": "huge"})
    with pytest.raises(UnknownNameError, match="small"):
        load("flow-toy", good)


@pytest.mark.parametrize("text", ["not json", "[" * 100_000, "9" * 5000, "[]", "null"])
def test_a_card_that_is_not_an_object_of_json_is_refused(tmp_path: Path, text: str) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file(recognizer().saved(), path, metadata={"merzoo": text})
    refused(lambda: load("flow-toy", path), str(path))


CARD_FILE = {"tag": "v1", "preset": "small", "source": "package:merzoo/w", "sha256": "0" * 64, "labels": list(LABELS), "unknown field": 1}


def test_a_card_file_becomes_a_specification(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(json.dumps({**CARD_FILE, "metrics": {"uf1": 0.5}}))
    found = WeightsSpec.from_json(tmp_path / "card.json")
    assert found.labels == LABELS and found.metrics == {"uf1": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "7", '"x"', "{}", "[" * 100_000, "\udcff"),
        *(json.dumps({**CARD_FILE, **change}) for change in ({"labels": "abc"}, {"labels": None}, {"tag": 1})),
    ],
)
def test_a_card_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(lambda: WeightsSpec.from_json(tmp_path / "card.json"))
    refused(lambda: WeightsSpec.from_json(tmp_path / "none.json"), "none.json")


@pytest.mark.parametrize(
    "source",
    [
        "hf://org/repo/model.safetensors",
        "hf://org/repo@main/model.safetensors",
        "hf://org/repo@v1.0/model.safetensors",
        f"hf://org/repo@{'a' * 39}/model.safetensors",
        f"hf://org/repo@{'A' * 40}/model.safetensors",
        f"hf://org/repo@{'a' * 40}/../model.safetensors",
        f"hf://org/repo@{'a' * 40}//etc/passwd",
        f"hf://repo@{'a' * 40}/model.safetensors",
        "hf://",
    ],
)
def test_a_source_on_the_hub_must_be_pinned(source: str) -> None:
    refused(lambda: open_weights(with_weights(source=source), "v1"), "40 hex digits")


def test_the_hub_offline_is_one_line(tmp_path: Path) -> None:
    code = (
        "from merzoo.specs import WeightsSpec\nfrom merzoo.weights import locate\n"
        f"locate(WeightsSpec('v1', 'small', 'hf://org/repo@{'a' * 40}/model.safetensors', '0', ('a', 'b')))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("merzoo.errors.WeightsError: hf-hub:org/repo@aaaa") and "it is not in the cache, and HF_HUB_OFFLINE forbids" in last


def test_a_package_that_is_not_installed_is_named() -> None:
    refused(lambda: locate(with_weights(source="package:merzoo_nowhere/weights/w.safetensors").weights[0]), "merzoo_nowhere", "not installed")


@pytest.mark.parametrize(
    "source",
    [
        "package:merzoo/../../../../etc/passwd",
        "package:merzoo//etc/passwd",
        "package:merzoo/./weights",
        "package:../merzoo/w",
        "package:merzoo",
        "package:/w",
        "package:",
        "package:merzoo/",
        "package:mer zoo/w",
    ],
)
def test_a_package_source_stays_inside_its_package(source: str) -> None:
    refused(lambda: locate(with_weights(source=source).weights[0]), "inside the package")


def test_a_file_of_a_package_is_found() -> None:
    path = locate(with_weights(source="package:merzoo/views/base.py").weights[0])
    assert path == Path(merzoo.__file__).parent / "views/base.py"
    refused(lambda: open_weights(with_weights(source="package:merzoo/none.safetensors"), "v1"), "do not exist")


# Writing


def test_weights_that_cannot_be_written_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "none" / "w.safetensors", tmp_path / "file" / "w.safetensors", tmp_path):
        refused(lambda place=place: write(place, {"w": torch.zeros(1)}, {}), "cannot be written")
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and not list(tmp_path.parent.glob(".*.part"))


def test_writing_replaces_whole(good: Path) -> None:
    before = good.read_bytes()
    write(good, {"w": torch.ones(3)}, {})
    assert read(good)[0]["w"].tolist() == [1, 1, 1] and good.read_bytes() != before
    assert [p.name for p in good.parent.iterdir()] == [good.name]


# Errors that cross processes


@pytest.mark.parametrize("error", [UnknownNameError("model", "x", ["y"]), LeakageError("fold 1", ["a", "b"]), WeightsError("gone")])
def test_errors_come_back_from_a_worker_as_they_were(error: MerzooError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
