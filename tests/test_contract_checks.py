"""Each check of the contract fails where it should: on a small network that is broken in one way and registered nowhere."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from merzoo.data.clips import ClipData
from merzoo.entries import Entry
from merzoo.errors import MerzooError, WeightsError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, View, WeightsSpec
from merzoo.testing import contract
from merzoo.testing.contract import CHECKS, Case, ContractError
from merzoo.testing.paperwork import check_paperwork
from merzoo.weights import write

SIZES = {"view": "difference", "size": 48}
TOY = ModelSpec(
    name="toy",
    summary="a very small network",
    backbone="timm/test_resnet",
    train_views={"difference": (View("difference"),)},
    presets={name: Preset(backbone=SIZES, strategy={"batch_size": 8}, preprocessing=Preprocessing(size=64)) for name in ("full", "small")},
)


class Wrapped(Backbone):
    """The network of the toy, to be broken by a subclass."""

    def __init__(self, inner: Backbone) -> None:
        super().__init__()
        self.inner, self.inputs, self.views = inner, inner.inputs, inner.views

    def forward(self, batch: Batch) -> Features:
        features: Features = self.inner(batch)
        return dataclasses.replace(features, pooled={name: self.change(x) for name, x in features.pooled.items()})

    def change(self, x: Tensor) -> Tensor:
        return x


def case(tiny: ClipData, broken: Callable[[Backbone], Backbone] = Wrapped) -> Case:
    def make(for_training: bool) -> Recognizer:
        recognizer = assemble(TOY, "small", tiny.labels, for_training=for_training)
        recognizer.backbone = broken(recognizer.backbone)
        return recognizer

    return Case(TOY, tiny, make=make)


@pytest.mark.parametrize("check", CHECKS)
def test_a_network_that_is_whole_passes(tiny: ClipData, check: str) -> None:
    CHECKS[check](case(tiny))
    CHECKS[check](Case(TOY, tiny))


# Each broken in one way: (the check that must fail, why it says so, the network)


class AsksForNumbers(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]


class NamesADevice(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.register_buffer("grid", torch.zeros(3, device="cpu"))


class OtherOnMeta(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.register_buffer("grid", torch.zeros(3 if torch.empty(0).is_meta else 4))


class NormOverOne(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.norm = nn.BatchNorm1d(256)

    def change(self, x: Tensor) -> Tensor:
        return self.norm(x[:, :256])


class NotFinite(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x / 0


class SumsTheBatch(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x.sum(0, keepdim=True)


class BadGradient(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x + (x * 0).sqrt() * 0


class NoMaps(Wrapped):
    def forward(self, batch: Batch) -> Features:
        return Features(pooled=super().forward(batch).pooled)


class RowTooMany(Wrapped):
    def forward(self, batch: Batch) -> Features:
        features = super().forward(batch)
        return dataclasses.replace(features, maps={name: torch.cat([x, x]) for name, x in features.maps.items()})


class LearnsInAnAttribute(Wrapped):
    count = 1.0

    def change(self, x: Tensor) -> Tensor:
        self.count += 0.5 * self.training
        return x * self.count


class ForgetsABuffer(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def change(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.copy_(x.detach().mean())
        return x - self.mean


class OwnDice(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x * random.uniform(0.5, 1.5) if self.training else x


class CountsCalls(Wrapped):
    calls = itertools.count(1)  # of all networks of this process

    def change(self, x: Tensor) -> Tensor:
        return x * (1 + 0.1 * next(self.calls)) if self.training else x


class BatchMean(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class BatchOrder(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x + 0.5 * x[:1]


class WritesInEval(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.register_buffer("seen", torch.zeros(()))

    def change(self, x: Tensor) -> Tensor:
        self.seen += not self.training
        return x


class Unused(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.spare = nn.Linear(3, 3)


class Detached(Wrapped):
    def change(self, x: Tensor) -> Tensor:
        return x.detach()


class TimesZero(Wrapped):
    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner)
        self.gate = nn.Parameter(torch.ones(()))

    def change(self, x: Tensor) -> Tensor:
        return x + 0 * self.gate


class OtherWayInBf16(Wrapped):
    def forward(self, batch: Batch) -> Features:
        out = super().forward(batch)
        if torch.is_autocast_enabled("cpu"):
            for x in out.pooled.values():
                x.register_hook(torch.neg)  # as a kernel that gets the gradient wrong
        return out


BROKEN = [
    ("agrees_in_bf16", "gradients in bf16 and fp32 have a cosine of", OtherWayInBf16),
    ("builds_on_meta", "cannot be built on the meta device", AsksForNumbers),
    ("builds_on_meta", "backbone.grid is not on the meta device", NamesADevice),
    ("builds_on_meta", "is another network on the meta device", OtherOnMeta),
    ("forward_and_backward", "fails in training mode on 1 clips", NormOverOne),
    ("forward_and_backward", "logits of 1 clips are not finite", NotFinite),
    ("forward_and_backward", r"logits of 3 clips are \[1, 5\], not \[3, 5\]", SumsTheBatch),
    ("forward_and_backward", "gradients of 1 clips are not finite", BadGradient),
    ("provides_what_it_says", "says it provides maps, and gives none", NoMaps),
    ("provides_what_it_says", "maps 'image' does not have one row a clip", RowTooMany),
    ("survives_safetensors", "gives other logits", LearnsInAnAttribute),
    ("survives_safetensors", "gives other logits", ForgetsABuffer),
    ("repeats_under_a_seed", "ends in other bits", OwnDice),
    ("repeats_under_a_seed", "ends in other bits", CountsCalls),
    ("predicts_each_clip_alone", "with the clips beside it", BatchMean),
    ("predicts_each_clip_alone", "with the clips beside it", BatchOrder),
    ("predicts_each_clip_alone", "predicting changes its weights", WritesInEval),
    ("trains_every_parameter", "no gradient reaches backbone.spare.weight, backbone.spare.bias within 5 steps", Unused),
    ("trains_every_parameter", r"no gradient reaches backbone.* and \d+ more within", Detached),
    ("trains_every_parameter", "no gradient reaches backbone.gate within", TimesZero),
]


@pytest.mark.parametrize(("check", "why", "broken"), BROKEN, ids=[broken.__name__ for *_, broken in BROKEN])
def test_a_broken_network_is_told_by_its_check(tiny: ClipData, check: str, why: str, broken: type[Wrapped]) -> None:
    with pytest.raises(ContractError, match=rf"^toy \(small\): .*{why}") as caught:
        CHECKS[check](case(tiny, broken))
    assert "\n" not in str(caught.value)


def test_every_check_is_seen_failing() -> None:
    assert {check for check, *_ in BROKEN} | {"is_described"} == set(CHECKS)


def test_a_parameter_that_no_stage_trains_is_told(tiny: ClipData) -> None:
    def make(for_training: bool) -> Recognizer:
        recognizer = assemble(TOY, "small", tiny.labels, for_training=for_training)
        recognizer.spare = nn.Linear(2, 2)  # beside backbone and head, in no group
        return recognizer

    with pytest.raises(ContractError, match=r"no stage trains spare\.weight, spare\.bias; add it"):
        contract.trains_every_parameter(Case(TOY, tiny, make=make))


def test_weights_of_another_shape_are_told(tiny: ClipData) -> None:
    """What is there in training alone cannot be loaded into the network that predicts."""

    def make(for_training: bool) -> Recognizer:
        recognizer = assemble(TOY, "small", tiny.labels, for_training=for_training)
        recognizer.backbone = Unused(recognizer.backbone) if for_training else Wrapped(recognizer.backbone)
        return recognizer

    with pytest.raises(WeightsError, match=r"extra key backbone\.spare"):
        contract.survives_safetensors(Case(TOY, tiny, make=make))


def test_running_statistics_that_were_denied_are_told(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denies:
        @staticmethod
        def get(kind: str, name: str) -> Entry:
            return dataclasses.replace(registry().get(kind, name), provides=("pooled", "no-running-statistics"))

    monkeypatch.setattr(contract, "registry", Denies)
    with pytest.raises(ContractError, match=r"says it keeps no running statistics, and keeps inner\.network"):
        contract.provides_what_it_says(case(tiny))


# Papers

PAPER = Paper("Title", "Authors", 2020, reported=(Reported("casme2:5", "loso", "uf1", 0.5, "Table 1"),))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"summary": " "}, "summary"),
        ({"summary": "two\nlines"}, "summary"),
        ({"presets": {"full": TOY.presets["full"]}}, "no preset 'small'"),
        ({"licence": ""}, "no licence"),
        ({"head": "nose"}, "unknown head of model toy 'nose'"),
        ({"train_views": {"difference": (View("nose"),)}}, "unknown view of model toy 'nose'"),
        ({"paper": Paper("Title")}, "lacks title, authors or year"),
        ({"paper": dataclasses.replace(PAPER, reported=(Reported("a", "loso", "f1", 0.5, "t"),))}, "reports 'f1'"),
        ({"paper": dataclasses.replace(PAPER, reported=(Reported("a", "loso", "uf1", 50.0, "t"),))}, "no share from 0 to 1"),
        ({"paper": dataclasses.replace(PAPER, reported=(Reported("a", "loso", "uf1", 0.5),))}, "with the table it stands in"),
        ({"paper": dataclasses.replace(PAPER, reported=(Reported("", "loso", "uf1", None),))}, "does not say data and protocol"),
    ],
)
def test_papers_that_are_not_complete_are_told(tiny: ClipData, changed: dict[str, Any], fault: str) -> None:
    assert not list(check_paperwork(dataclasses.replace(TOY, paper=PAPER)))
    spec = dataclasses.replace(TOY, **changed)
    with pytest.raises(ContractError, match=fault):
        contract.is_described(Case(spec, tiny))


@pytest.fixture
def shipped(tiny: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsSpec:
    """Weights of the toy inside a package, with their log."""
    package = tmp_path / "toy_package"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)  # that of the test before
    write(package / "toy.safetensors", assemble(TOY, "small", tiny.labels).saved(), {})
    (package / "toy.jsonl").write_text(json.dumps({"stage": "supervised", "step": 0, "loss": 1.0}) + "\n")
    digest = hashlib.sha256((package / "toy.safetensors").read_bytes()).hexdigest()
    known = {"data": "synthetic:weights", "manifest_hash": "00", "subjects": ["synthetic:s1"]}
    source = "package:toy_package/toy.safetensors"
    return WeightsSpec("synthetic", "small", source, digest, tiny.labels, known, "last epoch", {"uf1": 0.5})


def faults(weights: WeightsSpec, *more: WeightsSpec) -> str:
    return "; ".join(check_paperwork(dataclasses.replace(TOY, weights=(weights, *more))))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"preset": "tiny"}, "preset 'tiny' is none of the model's"),
        ({"sha256": "0" * 64}, "damaged or changed"),
        ({"labels": ("a",)}, "do not say their labels"),
        ({"labels": ("a", "b")}, "do not fit the network: wrong shape head"),
        ({"trained_on": {"data": "x", "manifest_hash": "00"}}, "do not say subjects"),
        ({"trained_on": {"data": "x", "subjects": ["x/1"]}}, "do not say manifest_hash"),
        ({"protocol": ""}, "lack protocol, metrics or licence"),
        ({"metrics": {}}, "lack protocol, metrics or licence"),
        ({"source": "package:toy_package/none.safetensors"}, "cannot be read"),
    ],
)
def test_cards_that_are_not_complete_are_told(shipped: WeightsSpec, changed: dict[str, Any], fault: str) -> None:
    assert faults(shipped) == ""
    assert fault in faults(dataclasses.replace(shipped, **changed))


def test_weights_need_a_log_a_tag_and_a_size_that_ships(shipped: WeightsSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "share a tag" in faults(shipped, shipped)
    with monkeypatch.context() as small:
        small.setattr("merzoo.testing.paperwork.SHIPPED_BYTES", 1000)
        assert "too large to ship" in faults(shipped)
    log = tmp_path / "toy_package" / "toy.jsonl"
    log.write_text("{}\n")
    assert "does not say stage, step and loss" in faults(shipped)
    log.write_text("no json\n")
    assert "no training log" in faults(shipped)
    log.unlink()
    assert "no training log" in faults(shipped)


def test_the_checks_raise_errors_of_merzoo() -> None:
    assert issubclass(ContractError, MerzooError)
