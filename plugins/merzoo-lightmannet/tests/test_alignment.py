"""The alignment loss by hand, the focal loss by hand, and what the options refuse."""

from __future__ import annotations

import math

import pytest
import torch
from merzoo_lightmannet.alignment import ALIGNMENTS, MacroAlignment
from merzoo_lightmannet.objective import focal_loss

from merzoo.errors import NeedsError, UsageError
from merzoo.interfaces import Features

E1, E2 = torch.eye(2, dtype=torch.float64)
SLANT = torch.tensor([0.6, 0.8], dtype=torch.float64)


def task(**options) -> MacroAlignment:
    return MacroAlignment(Features(pooled={"code": torch.empty(1, 6)}), {}, **options)


def test_each_alignment_is_its_formula():
    micro, macro, same = SLANT[None], torch.stack([E1, E2]), torch.tensor([[True, False]])
    wanted = -math.log(math.exp(0.6 / 0.1) / (math.exp(0.6 / 0.1) + math.exp(0.8 / 0.1)))
    assert ALIGNMENTS["contrastive"](micro, macro, same, 0.1).tolist() == pytest.approx([wanted])
    assert ALIGNMENTS["cosine"](micro, macro, same, 0.1).tolist() == pytest.approx([1 - 0.6])
    assert ALIGNMENTS["prototype"](micro, macro, same, 0.1).tolist() == pytest.approx([(0.4**2 + 0.8**2) / 2])
    both = torch.tensor([[True, True]])
    assert ALIGNMENTS["contrastive"](micro, macro, both, 0.1).tolist() == pytest.approx([0.0])
    assert ALIGNMENTS["prototype"](micro, macro, both, 0.1).tolist() == pytest.approx([(0.1**2 + 0.3**2) / 2])


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_clips_without_a_counterpart_are_left_out_of_loss_and_gradient(alignment):
    units = torch.stack([SLANT, E2, E1, E2]).requires_grad_()
    labels = torch.tensor([0, 7, 0, 1])  # two micro clips, of which the second has no counterpart; two macro clips
    made = task(alignment=alignment)
    made.aligned(units, labels, 2).backward()
    alone = made.aligned(torch.stack([SLANT, E1, E2]), labels[[0, 2, 3]], 2)
    assert made.aligned(units, labels, 2).item() == pytest.approx(alone.item())
    assert torch.isfinite(units.grad).all() and float(units.grad[1].abs().max()) == 0 and float(units.grad[0].abs().max()) > 0
    none = made.aligned(units, torch.tensor([3, 3, 0, 1]), 2)
    assert none.item() == 0 and torch.isfinite(torch.autograd.grad(none, units)[0]).all()


def test_embeddings_are_unit_vectors_and_the_loss_needs_macro_clips():
    made = task(hidden=5, out=3)
    features = Features(pooled={"code": torch.randn(4, 6)})
    assert made(features).norm(dim=1).tolist() == pytest.approx([1.0] * 4)
    assert made.predict(features) == {} and not made.predicts
    labels = torch.tensor([0, 1, 1, 0])
    assert made.loss(features, {"label": labels, "macro": 2}).item() == pytest.approx(made.aligned(made(features), labels, 2).item())
    with pytest.raises(NeedsError, match="macro-episodes"):
        made.loss(features, {"label": labels})


@pytest.mark.parametrize("options", [{"alignment": "kissing"}, {"temperature": 0}])
def test_options_that_cannot_be(options):
    with pytest.raises(UsageError, match="macro-alignment"):
        task(**options)


def test_focal_loss_weighs_classes_alike_and_certain_clips_less():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    label = torch.tensor([0, 0, 1])
    p = logits.softmax(1)[torch.arange(3), label]
    each = -((1 - p) ** 2) * p.log()
    wanted = ((each[0] + each[1]) / 2 + each[2]) / 2
    assert float(focal_loss(logits, label)) == pytest.approx(float(wanted), rel=1e-12)
    assert float(focal_loss(logits[:1], label[:1], gamma=0.0)) == pytest.approx(-float(p[0].log()), rel=1e-12)
