"""Files of weights made to do harm: pickles under another name, headers that lie, and noise. Nothing is unpickled, and no memory is taken on a file's word."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from merzoo.errors import MerzooError, WeightsError
from merzoo.loading import load
from merzoo.recognizer import Recognizer
from merzoo.weights import read


def with_header(path: Path, header: bytes, length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header)
    return path


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


PICKLES: dict[str, Callable[[Path, object], None]] = {
    "torch zip": lambda path, trap: torch.save({"w": torch.zeros(2), "trap": trap}, path),
    "torch legacy": lambda path, trap: torch.save({"w": torch.zeros(2), "trap": trap}, path, _use_new_zipfile_serialization=False),
    **{
        f"pickle of protocol {p}": (lambda path, trap, p=p: path.write_bytes(pickle.dumps(OrderedDict(trap=trap), protocol=p)))
        for p in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_is_refused_whatever_it_is_called_and_never_opened(refused: Callable[..., str], tmp_path: Path, case: str, name: str) -> None:
    path, mark = tmp_path / name, tmp_path / "mark"
    PICKLES[case](path, Trap(mark))
    text = refused(lambda: load("attacked", path), str(path))
    assert not mark.exists()
    assert "pickle" in text or case in ("pickle of protocol 0", "pickle of protocol 1")  # text, with no mark of its own


HEADERS = {
    "a length beyond the file": (b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 2**40),
    "the greatest length": (b"{}", 2**64 - 1),
    "data that is not there": (b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', None),
    "a shape of 2^60": (b'{"w":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,0]}}', None),
    "a shape whose product overflows": (b'{"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}', None),
    "a negative shape": (b'{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,0]}}', None),
    "offsets in the wrong order": (b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}', None),
    "an unknown type": (b'{"w":{"dtype":"Q7","shape":[0],"data_offsets":[0,0]}}', None),
    "no JSON": (b"{not json}", None),
    "a list": (b"[]", None),
    "no text": (b"{\xff\xfe}", None),
    "a deep nest": (b'{"__metadata__":' + b"[" * 50_000, None),
    "a card that is no text": (b'{"__metadata__":{"merzoo":{"labels":[]}}}', None),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_lying_header_is_refused(refused: Callable[..., str], tmp_path: Path, case: str) -> None:
    header, length = HEADERS[case]
    refused(lambda: read(with_header(tmp_path / "w.safetensors", header, length=length)), "no safetensors file, or cut off")


BRACES = st.binary(max_size=200).map(lambda b: struct.pack("<Q", len(b) + 1) + b"{" + b)
JSONS = st.recursive(
    st.one_of(st.none(), st.integers(-(2**70), 2**70), st.sampled_from(["F32", "U8", "w", "BOOL"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "w"]), inner, max_size=4)),
).map(lambda value: json.dumps({"w": value, "__metadata__": {"merzoo": "{}"}}).encode())
FRAMED = st.tuples(JSONS, st.binary(max_size=16)).map(lambda pair: struct.pack("<Q", len(pair[0])) + pair[0] + pair[1])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), BRACES, FRAMED))
@example(b"")
@example(struct.pack("<Q", 2) + b"{}")
def test_random_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fuzz.safetensors"
    path.write_bytes(content)
    try:
        tensors, card = read(path)
    except WeightsError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(card, dict) and sum(t.nbytes for t in tensors.values()) <= len(content)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_good_file_with_random_bytes_changed_is_loaded_or_refused(weights: Path, recognizer: Recognizer, data: st.DataObject) -> None:
    content = bytearray(weights.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = weights.with_name("changed.safetensors")
    path.write_bytes(content)
    try:
        loaded = load("attacked", path)
    except MerzooError as error:  # also a preset that became another, or two labels that became the same
        assert "\n" not in str(error)
    else:
        assert loaded.saved().keys() == recognizer.saved().keys()
