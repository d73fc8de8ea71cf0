"""Two tasks on one trunk: late fusion, action units, and how branches are trained."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from merzoo_famnet.fusion import BranchScores, LateFusion
from merzoo_famnet.units import LISTS, chosen, coded

from merzoo.data.clips import Clips
from merzoo.errors import NeedsError, UsageError
from merzoo.evaluation.folds import predict_clips
from merzoo.interfaces import Features
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.training.data import TrainingData
from merzoo.training.engine import reset, run_stages
from merzoo.training.machine import Machine

MACHINE = Machine("cpu", "fp32", 1)
TASK = "au-detection"


def stages_of(recognizer, tiny):
    return list(recognizer.strategy.stages(recognizer, TrainingData.without(tiny, [], recognizer.train_views)))


def reached(recognizer) -> set[str]:
    return {name for name, p in recognizer.named_parameters() if p.grad is not None and p.grad.any()}


def losses(recognizer, batch):
    features = recognizer.backbone(batch)
    return torch.nn.functional.cross_entropy(recognizer.head(features), batch["label"]), recognizer.auxiliary[TASK].loss(features, batch)


# One trunk


@pytest.mark.parametrize("backbone", ["amnet2d", "amnet3d", "famnet"])
def test_both_heads_share_every_parameter_of_the_trunk(make, batch, backbone):
    recognizer = make(backbone)
    for block in (m for m in recognizer.modules() if hasattr(m, "zero_init_last")):
        torch.nn.init.ones_(block.bn2.weight)  # else a block begins as its shortcut, and nothing in it is reached before the first step
    found = []
    for at in range(2):
        recognizer.zero_grad()
        losses(recognizer, batch())[at].backward()
        found.append(reached(recognizer))
    trunk = {name for name, _ in recognizer.named_parameters() if name.startswith("backbone.")}
    assert found[0] & trunk == found[1] & trunk == trunk
    assert found[0] - trunk == {name for name, _ in recognizer.named_parameters() if name.startswith("head.")}
    assert found[1] - trunk == {name for name, _ in recognizer.named_parameters() if name.startswith("auxiliary.")}


def test_nothing_of_the_trunk_is_there_twice(make):
    recognizer, branches = make(), ["spatial", "temporal"]
    sizes = {"head": 5, "auxiliary": 12}
    for part, outputs in sizes.items():
        mine = {name: p.numel() for name, p in recognizer.named_parameters() if name.startswith(part)}
        assert sum(mine.values()) == len(branches) * (16 * outputs + outputs)
    assert sum(p.numel() for p in recognizer.backbone.parameters()) == sum(
        p.numel() for name in branches for p in getattr(recognizer.backbone, name).parameters()
    )


# Fusion


@pytest.mark.parametrize("a", [0.0, 0.3, 1])
def test_the_fused_score_is_a_of_the_2d_score_and_the_rest_of_the_3d_score(make, batch, a):
    recognizer = make().eval()
    for part in (recognizer.head.fc_mer, recognizer.auxiliary[TASK].fc_au):
        part.a = a
        flat, deep = (part(recognizer.backbone({key: batch()[key]})) for key in ("apex", "clip"))
        fused = part(recognizer.backbone(batch()))
        assert torch.allclose(fused, a * flat + (1 - a) * deep, atol=1e-6) and not torch.allclose(flat, deep, atol=1e-3)
    assert torch.allclose(recognizer.probabilities([batch()]), recognizer.head(recognizer.backbone(batch())).softmax(1))


def test_late_fusion_of_one_branch_is_a_linear_layer_and_of_three_their_mean():
    features = Features(pooled={name: torch.randn(2, 4) for name in ("c", "a", "b")})
    scores = BranchScores(features, 3, a=0.9)
    assert torch.allclose(scores(features), torch.stack([scores.layers[n](features.pooled[n]) for n in "abc"]).mean(0), atol=1e-6)
    one = Features(pooled={"a": features.pooled["a"]})
    head = LateFusion(one, 3)
    assert torch.equal(head(one), head.fc_mer.layers["a"](one.pooled["a"]))
    with pytest.raises(UsageError, match="features of a are wanted"):
        head(Features(pooled={"b": features.pooled["b"]}))


def test_late_fusion_is_drawn_anew_and_takes_any_backbone(make):
    recognizer = make()
    before = {name: value.clone() for name, value in recognizer.head.state_dict().items()}
    reset(recognizer, ("head",), seed=1)
    assert all(not torch.equal(value, before[name]) for name, value in recognizer.head.state_dict().items())
    other = build(("timm/test_resnet", {"size": 48}), "late-fusion", labels=("a", "b"))
    assert other({"keyframes": torch.rand(2, 1, 3, 48, 48)}).shape == (2, 2)


@pytest.mark.parametrize("dropout", [-0.1, 1.5, "half", math.nan])
def test_a_dropout_that_is_none_is_refused(dropout):
    with pytest.raises(UsageError, match=r"^late fusion: dropout"):
        LateFusion(Features(pooled={"x": torch.zeros(1, 3)}), 2, dropout=dropout)


@pytest.mark.parametrize("a", [-0.1, 1.5, "half", True, math.nan])
def test_a_share_that_is_none_is_refused(a):
    with pytest.raises(UsageError, match="share of the first branch"):
        LateFusion(Features(pooled={"x": torch.zeros(1, 3)}), 2, a=a)


# Action units


def test_the_loss_ignores_what_nobody_coded_in_value_and_gradient(make, batch):
    recognizer = make("amnet3d").eval()  # or a clip's normalisation would depend on the others'
    task, full = recognizer.auxiliary[TASK], batch(5)
    full["aus"][[1, 4]] = torch.nan
    full["aus"][0, :6] = torch.nan
    loss = task.loss(recognizer.backbone(full), full)
    loss.backward()
    gradients = [p.grad.clone() for p in recognizer.backbone.parameters()]
    recognizer.zero_grad()
    logits = task.fc_au(recognizer.backbone({"clip": full["clip"][[0, 2, 3]]}))
    coded_part = torch.cat([logits[0, 6:], logits[1], logits[2]])
    target = torch.cat([full["aus"][0, 6:], full["aus"][2], full["aus"][3]])
    alone = torch.nn.functional.binary_cross_entropy_with_logits(coded_part, target)
    alone.backward()
    assert loss.item() == pytest.approx(alone.item(), rel=1e-5)
    assert all(torch.allclose(g, p.grad, atol=1e-6) for g, p in zip(gradients, recognizer.backbone.parameters(), strict=True))
    assert any(g.any() for g in gradients)


def test_a_batch_that_nobody_coded_has_a_loss_of_zero_with_a_graph(make, batch):
    recognizer, uncoded = make(), batch()
    uncoded["aus"].fill_(torch.nan)
    loss = recognizer.auxiliary[TASK].loss(recognizer.backbone(uncoded), uncoded)
    loss.backward()
    assert loss.item() == 0 and not reached(recognizer)
    assert all(torch.isfinite(p.grad).all() for p in recognizer.backbone.parameters() if p.grad is not None)


def test_targets_are_what_the_table_says(make, tiny):
    recognizer, micro = make(task={"aus": [12, 4, 46]}), Clips(tiny, "micro")
    task = recognizer.auxiliary[TASK]
    assert task.outputs == {"aus": ("AU12", "AU4", "AU46")}
    wanted = [[float(str(au) in cell.split("+")) for au in (12, 4, 46)] for cell in tiny.table["aus"].to_numpy()[micro.rows]]
    found = task.targets(micro)["aus"]
    assert found.tolist() == wanted and found.any()
    some = micro.where(np.arange(len(micro)) % 2 == 1)
    assert task.targets(some)["aus"].tolist() == wanted[1::2]


def test_what_nobody_coded_is_missing_and_none_active_is_zero():
    assert coded("4+12", "own", (4, 1, 12), False) == [1, 0, 1]
    assert coded("", "own", (4, 12), False) == [0, 0]
    assert all(math.isnan(value) for cell in (None, math.nan) for value in coded(cell, "own", (4, 12), False))
    assert coded("14", "own", (1, 4), False) == [0, 0]  # by number, not by digits


@pytest.mark.parametrize("dataset", ["casme2", "samm", "mmew"])
def test_across_data_sets_a_unit_outside_the_list_of_its_own_is_masked(dataset):
    units = chosen("cross")
    across = coded("2+9", dataset, units, True)
    assert [unit for unit, value in zip(units, across, strict=True) if not math.isnan(value)] == [unit for unit in units if unit in LISTS[dataset]]
    assert not any(math.isnan(value) for value in coded("2+9", dataset, units, False))
    assert not any(math.isnan(value) for value in coded("2+9", "synthetic", units, True))


@pytest.mark.parametrize(
    ("aus", "said"),
    [("casme", "did you mean casme2"), ("moods", "give one of"), ([], "one or more"), (4, "one or more"), ([4, 4], "twice"), ([0], "1 to 46"),
     ([47], "1 to 46"), ([4.0], "no action unit"), (["4"], "no action unit"), ([True], "no action unit")],
)  # fmt: skip
def test_action_units_that_cannot_be_are_one_line(make, aus, said):
    with pytest.raises(UsageError, match=said) as caught:
        make(task={"aus": aus})
    assert "\n" not in str(caught.value)


def test_every_list_holds_action_units_and_across_holds_those_of_the_sets():
    assert all(chosen(list(units)) == units == chosen(name) for name, units in LISTS.items())
    assert set(LISTS["cross"]).issuperset(unit for units in LISTS.values() for unit in units)


def test_data_without_action_units_is_refused_by_name(tiny):
    for model in ("famnet", "amnet2d", "amnet3d"):
        with pytest.raises(NeedsError, match=r"auxiliary-task 'au-detection' needs au-labels"):
            assemble(registry().model(model), "small", tiny.labels, data_provides=("emotion-labels", "macro-clips"))


# Training


def test_apart_each_stage_trains_its_branch_and_sees_only_its_input(make, tiny):
    recognizer = make(branches={"temporal": {"batch_size": 4, "epochs": 2}})
    stages = stages_of(recognizer, tiny)
    assert [(s.name, s.batches.batch_size, s.epochs) for s in stages] == [("multi-task-spatial", 8, 1), ("multi-task-temporal", 4, 2)]
    for stage, own in zip(stages, ("spatial", "temporal"), strict=True):
        batch = stage.batches.draw(0, 0, torch.device("cpu"))
        assert set(batch) == {*recognizer.backbone.branches[own], "label", "aus"}
        before = {name: value.clone() for name, value in recognizer.state_dict().items()}
        run_stages(recognizer, [stage], seed=1, machine=MACHINE)
        moved = {name for name, value in recognizer.state_dict().items() if not torch.equal(value, before[name])}
        places = (f"backbone.{own}.", f"head.fc_mer.layers.{own}.", f"auxiliary.{TASK}.fc_au.layers.{own}.")
        assert all(name.startswith(places) for name in moved) and all(any(name.startswith(place) for name in moved) for place in places)


def test_end_to_end_is_one_stage_of_everything_on_the_fused_score(make, tiny, batch):
    recognizer = make(mode="end-to-end", aux_weight=0.5)
    (stage,) = stages_of(recognizer, tiny)
    assert set(stage.batches.draw(0, 0, torch.device("cpu"))) == {"apex", "clip", "label", "aus"}
    recognizer.eval()
    loss, logs = stage.loss(recognizer, batch(), torch.Generator())
    emotion, units = losses(recognizer, batch())
    assert loss.item() == pytest.approx((emotion + 0.5 * units).item(), rel=1e-5) and logs[TASK].item() == pytest.approx(units.item(), rel=1e-5)
    before = {name: p.clone() for name, p in recognizer.named_parameters()}
    run_stages(recognizer, [stage], seed=1, machine=MACHINE)
    still = [name for name, p in recognizer.named_parameters() if torch.equal(p, before[name])]
    assert not still


@pytest.mark.parametrize("backbone", ["amnet2d", "amnet3d"])
def test_a_backbone_without_branches_trains_as_one(make, tiny, backbone):
    recognizer = make(backbone)
    assert [stage.name for stage in stages_of(recognizer, tiny)] == ["multi-task"]


def test_without_weight_the_second_task_is_not_trained(make, tiny):
    recognizer = make(aux_weight=0)
    before = {name: value.clone() for name, value in recognizer.auxiliary[TASK].state_dict().items()}
    run_stages(recognizer, stages_of(recognizer, tiny), seed=0, machine=MACHINE)
    assert all(torch.equal(value, before[name]) for name, value in recognizer.auxiliary[TASK].state_dict().items())


@pytest.mark.parametrize(
    ("options", "said"),
    [({"mode": "together"}, "mode"), ({"aux_weight": -1}, "aux_weight"), ({"recipe": {"auxiliary_weight": 0}}, r"recipe\.auxiliary_weight .* set that"),
     ({"branches": {"temporal": {"auxiliary_weight": 2}}}, r"branches\.temporal\.auxiliary_weight .* set that"), ({"aux_weight": math.nan}, "finite"),
     ({"aux_weight": True}, "finite"),
     ({"branches": {"temporal": 3}}, "branches.temporal"), ({"branches": 3}, "branches"),
     ({"branches": {"temporal": {"epoch": 3}}}, "no option epoch")],
)  # fmt: skip
def test_options_of_the_strategy_that_cannot_be_are_one_line(make, options, said):
    with pytest.raises(UsageError, match=said):
        make(**options)


def test_a_branch_that_the_backbone_has_not_and_a_head_that_cannot_be_taken_apart_are_refused(make, tiny):
    with pytest.raises(UsageError, match="branch 'left' is none of this backbone's"):
        stages_of(make(branches={"left": {}}), tiny)
    with pytest.raises(NeedsError, match=r"'head'.* mode end-to-end"):
        stages_of(make(head="linear"), tiny)
    assert len(stages_of(make(head="linear", mode="end-to-end"), tiny)) == 1


def test_a_run_through_the_engine_is_repeatable_and_stores_both_predictions(make, tiny):
    def trained():
        recognizer = make(recipe={"epochs": 6})
        logs = run_stages(recognizer, stages_of(recognizer, tiny), seed=3, machine=MACHINE)
        return recognizer, logs

    recognizer, logs = trained()
    assert all(log.rows[-1]["loss"] < log.rows[0]["loss"] for log in logs)
    again, _ = trained()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in recognizer.state_dict().items())
    rows = predict_clips(recognizer, Clips(tiny, "micro"), MACHINE)
    alone = predict_clips(recognizer, Clips(tiny, "micro"), MACHINE, batch_size=1)
    assert len(rows) == 16
    for row, one in zip(rows, alone, strict=True):
        units = row["auxiliary"][TASK]["aus"]
        assert len(units) == 12 and all(0 < p < 1 for p in units)
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert units == pytest.approx(one["auxiliary"][TASK]["aus"], abs=1e-5)
        assert row["probabilities"] == pytest.approx(one["probabilities"], abs=1e-5)
    assert any(name.startswith(f"auxiliary.{TASK}.") for name in recognizer.saved())
