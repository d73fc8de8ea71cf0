"""Weights: where they lie, whether they are what they claim to be, and strict loading. safetensors only."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from merzoo import digests
from merzoo.compose import network_of
from merzoo.digests import stamp
from merzoo.entries import last_line
from merzoo.errors import WeightsError
from merzoo.fits import fitting
from merzoo.hub import Published, fetch, is_published, open_published
from merzoo.published import CONFIG
from merzoo.specs import ModelSpec, WeightsSpec
from merzoo.text import plain

HUB = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})/(?P<file>[\w./-]+)")
PACKAGE = re.compile(r"package:(?P<package>[A-Za-z_][\w.]*)/(?P<file>[\w./-]+)")
PICKLES = (b"\x80", b"PK\x03\x04")  # a bare one of protocol 2 or later, and torch's zip
HEADER_LIMIT = 16 * 2**20  # bytes; a header of a million tensors is far smaller


def open_weights(spec: ModelSpec, wanted: str | Path) -> tuple[WeightsSpec, dict[str, Tensor]]:
    """The weights of a model by tag ("default": the first), path, or as somebody published them (`hf-hub:org/repo[@revision]`, `local-dir:PATH`), verified and
    read.

    Raises `UnknownNameError` for an unknown tag, `WeightsError` for a file that is missing, damaged, a pickle, or not what its hash says.
    """
    if is_published(wanted):
        published = open_published(str(wanted))
        if network_of(published.config.model) != network_of(spec.name):
            raise WeightsError(f"{wanted} holds weights of {plain(published.config.model, 80)!r}, not of {spec.name}; load them by that name")
        _, tensors = read_published(published)
        return published.weights, tensors
    if str(wanted).startswith("hf://"):
        raise WeightsError(f"weights '{plain(wanted, 120)}' are named as plugins do; a published model is hf-hub:org/repo[@revision]")
    if os.path.isfile(os.path.join(wanted, CONFIG)):  # noqa: PTH113, PTH118  (Path raises for names that are too long)
        raise WeightsError(f"weights {plain(wanted, 200)} are a published folder; give local-dir:{plain(wanted, 200)}")
    if isinstance(wanted, Path) or "/" in str(wanted) or str(wanted).endswith((".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl")):
        return _from_path(spec, Path(wanted))
    if wanted == "default":
        if not spec.weights:
            raise WeightsError(f"{spec.name} comes without weights; train it (`merzoo train {spec.name} …`) or give --weights PATH")
        found = spec.weights[0]
    else:
        found = spec.weights_of(str(wanted))
    return found, checked(locate(found), found.sha256)[0]


def read_published(found: Published) -> tuple[ModelSpec, dict[str, Tensor]]:
    """The model that a published one is here, and its tensors. Raises `WeightsError` where the file is not what its config says, hash, labels and people
    included, and as `fitting`."""
    tensors, card = checked(found.file, found.config.sha256, found.config.bytes)
    found.config.agree(card, found.where)
    return fitting(found.config, found.where), tensors


def checked(path: Path, expected: str, size: int | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a file that hashes to `expected` and has `size` bytes, if known. Raises `WeightsError` where it does not, cannot be read, or changed
    while it was read."""
    try:
        _check_start(path)  # hashing a device would never end
        before = stamp(path)
        if size is not None and path.stat().st_size != size:
            raise WeightsError(f"weights {path} have {path.stat().st_size} bytes and not the {size} that were published; fetch them anew")
        verify(path, expected)
        found = read(path)
        after = stamp(path)
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror}); check the path") from error
    if before != after:
        raise WeightsError(f"weights {path} changed while they were read; try again")
    return found


def _from_path(spec: ModelSpec, path: Path) -> tuple[WeightsSpec, dict[str, Tensor]]:
    _check_start(path)
    sha256 = digest(path)
    tensors, card = checked(path, sha256)
    if card.get("model") is not None and network_of(str(card["model"])) != network_of(spec.name):
        raise WeightsError(f"{path} holds weights of {card['model']!r}, not of {spec.name}; load them by that name")
    try:
        found = WeightsSpec(path.name, card["preset"], str(path), sha256, card["labels"], card.get("trained_on") or {}, task=card.get("task", "classes"))
    except KeyError as error:
        raise WeightsError(f"{path} does not say its labels and preset; only files written by `merzoo train` load by path") from error
    spec.preset(found.preset)
    return found, tensors


def locate(weights: WeightsSpec) -> Path:
    """The file of these weights on this machine; those of the Hub are fetched into huggingface_hub's cache by their pinned revision."""
    source = weights.source
    if source.startswith("package:"):
        match = PACKAGE.fullmatch(source)
        if not match or not _inside(match["file"]):
            raise WeightsError(f"weights source {source!r} is not package:PACKAGE/PATH with a path inside the package")
        try:
            return Path(str(resources.files(match["package"]).joinpath(match["file"])))
        except Exception as error:  # importing a package may fail in any way
            where = match["package"]
            raise WeightsError(f"weights '{weights.tag}' lie in the package {where}, which is not installed or broken ({last_line(error)})") from error
    if source.startswith("hf://"):
        match = HUB.fullmatch(source)
        if not match or not _inside(match["file"]):
            raise WeightsError(f"weights source {source!r} is not hf://org/repo@<40 hex digits>/file; pin the commit")
        return fetch(match["repo"], match["file"], match["revision"], weights.sha256)
    return Path(source)


def _inside(name: str) -> bool:
    """Whether a relative path with slashes stays below where it starts."""
    return not {"", ".", ".."} & set(name.split("/"))


def digest(path: Path) -> str:
    """sha256 of a file, in hex; that of a large one is remembered (see `merzoo.digests`)."""
    try:
        return digests.sha256(path)
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror}); check the path") from error


def verify(path: Path, expected: str) -> None:
    """Raise `WeightsError` unless the sha256 of the file is `expected`."""
    found = digest(path)
    if found != expected:
        raise WeightsError(f"weights {path} are damaged or changed: sha256 {found[:12]}… instead of {expected[:12]}…; reinstall the plugin or fetch them again")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of a .safetensors file, on the CPU, and the card in its header ({} where there is none). Never unpickles."""
    from safetensors import safe_open

    _check_start(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("merzoo", "{}")
            # Copies: what it gives is a view of the file, and changes with it.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (no mapping)
    except Exception as error:  # a hostile header can fail in many ways inside the reader, which runs nothing of it
        raise WeightsError(f"weights {path} are no safetensors file, or cut off ({last_line(error).split('Error: ')[-1]}); fetch them again") from error
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"weights {path}: the card in their header is not JSON ({last_line(error)}); train again") from error
    return tensors, card if isinstance(card, dict) else {}


def _check_start(path: Path) -> None:
    """Raise `WeightsError` unless the file begins as safetensors do: the length of a header that lies in the file, then a brace."""
    try:
        if not path.is_file():
            raise WeightsError(f"weights {path} do not exist; check the path")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror}); check the path") from error
    # The length first: one of 128 bytes begins like a pickle.
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= min(HEADER_LIMIT, size - 8):
        return
    if start.startswith(PICKLES):
        raise WeightsError(f"weights {path} are a pickle, which can run code; only .safetensors is read")
    raise WeightsError(f"weights {path} are no safetensors file, or cut off; fetch them again")


def write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    """Write weights with their card in the header, whole or not at all; returns the sha256."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save

    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    # Copies: the format refuses tensors that share memory, as tied weights do.
    copies = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    try:
        scratch.write_bytes(save(copies, metadata={"merzoo": json.dumps(dict(card), sort_keys=True)}))  # not save_file, whose files only their owner may read
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"weights {path} cannot be written ({error}); free space or choose another folder") from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
    return digest(path)


def differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Raise `WeightsError` that lists every missing key, extra key, wrong shape and wrong kind of number; silent where there is none."""
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    both = sorted(wanted.keys() & given.keys())
    shapes = [f"{k} {list(given[k].shape)} instead of {list(wanted[k].shape)}" for k in both if given[k].shape != wanted[k].shape]
    # Half precision is a smaller file; whole numbers in the place of real ones are a mistake.
    kinds = [f"{k} {given[k].dtype} instead of {wanted[k].dtype}" for k in both if given[k].dtype.is_floating_point != wanted[k].dtype.is_floating_point]
    all_rows = (("missing key", missing), ("extra key", extra), ("wrong shape", shapes), ("wrong type", kinds))
    faults = [f"{title} {_few(rows)}" for title, rows in all_rows if rows]
    if faults:
        raise WeightsError(f"weights of {what} do not fit the network: {'; '.join(faults)}")


def _few(rows: list[str], most: int = 4) -> str:
    return ", ".join(plain(row, 160) for row in rows[:most]) + (f" and {len(rows) - most} more" if len(rows) > most else "")
