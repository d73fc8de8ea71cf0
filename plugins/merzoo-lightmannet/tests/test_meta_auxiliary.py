"""The strategy: its stages, its limits on the real network, its bad inputs, and runs through the engine."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from merzoo_lightmannet.alignment import TASK
from merzoo_lightmannet.objective import Objective, focal_loss
from torch.func import functional_call

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import DataError, LeakageError, NeedsError, UsageError
from merzoo.evaluation.folds import predict_clips
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

MACHINE = Machine("cpu", "fp32", 1)
CPU = torch.device("cpu")


def known(tiny: ClipData, recognizer, test=(), **options) -> TrainingData:
    return TrainingData.without(tiny, test, recognizer.train_views, **options)


def gradients(recognizer, tiny, batch=None) -> dict[str, torch.Tensor]:
    """The gradients of a step, as the engine asks for them; parameters without one are left out."""
    stage = recognizer.strategy.training(recognizer, known(tiny, recognizer))
    recognizer.zero_grad()
    stage.loss(recognizer, batch or stage.batches.draw(0, 0, CPU), torch.Generator())[0].backward()
    return {name: p.grad.clone() for name, p in recognizer.named_parameters() if p.grad is not None}


def episode(recognizer, tiny):
    return recognizer.strategy.training(recognizer, known(tiny, recognizer)).batches.draw(0, 0, CPU)


def test_without_weight_on_the_auxiliary_task_it_is_maml_and_the_head_gets_nothing(tiny, make):
    """Against MAML written anew on the whole recogniser: functional_call, torch.func.grad, one graph for all tasks."""
    recognizer = make(aux_weight=0.0, alpha=0.1).double()
    batch = episode(recognizer, tiny)
    for task in batch["tasks"]:
        for side in task.values():
            side["keyframes"] = side["keyframes"].double()
    found = gradients(recognizer, tiny, batch)
    params = {name: p for name, p in recognizer.named_parameters() if not name.startswith("auxiliary")}

    def on(weights, side):
        return focal_loss(functional_call(recognizer, weights, (side,)), side["label"])

    total = 0
    for task in batch["tasks"]:
        slopes = torch.func.grad(on)(params, task["support"])
        total = total + on({name: p - 0.1 * slopes[name] for name, p in params.items()}, task["query"]) / len(batch["tasks"])
    wanted = dict(zip(params, torch.autograd.grad(total, list(params.values())), strict=True))
    assert set(found) == set(wanted)  # nothing for the alignment head
    assert all(torch.allclose(found[name], wanted[name], rtol=1e-9, atol=1e-12) for name in wanted)
    assert "macro" not in batch["tasks"][0]


def test_the_alignment_head_learns_from_level_two_only_through_the_auxiliary_loss(tiny, make):
    with_weight = gradients(make(aux_weight=0.5), tiny)
    heads = [name for name in with_weight if name.startswith("auxiliary")]
    assert len(heads) == 4 and all(float(with_weight[name].abs().max()) > 0 for name in heads)
    assert not any(name.startswith("auxiliary") for name in gradients(make(aux_weight=0.0), tiny))
    recognizer = make()
    task = episode(recognizer, tiny)["tasks"][0]  # with macro clips
    for weight, reached in ((0.0, False), (0.5, True)):
        objective = Objective(recognizer, weight)
        params = objective.parameters()
        slopes = torch.autograd.grad(objective.level_one(params, task), [params[name] for name in heads], allow_unused=True)
        assert [slope is not None for slope in slopes] == [reached] * 4


def test_first_order_hands_the_alignment_head_the_gradient_of_level_one(tiny, make):
    recognizer = make(first_order=True)
    batch = episode(recognizer, tiny)
    found = gradients(recognizer, tiny, batch)
    objective = Objective(recognizer, recognizer.strategy.aux_weight)
    params = objective.parameters()
    level_one = torch.stack([objective.level_one(params, task) for task in batch["tasks"]]).mean()
    heads = [name for name in params if name.startswith("auxiliary")]
    for name, wanted in zip(heads, torch.autograd.grad(level_one, [params[name] for name in heads]), strict=True):
        assert torch.allclose(found[name], wanted, rtol=1e-4, atol=1e-7)


def test_inner_steps_of_length_zero_are_plain_training_on_the_query(tiny, make):
    recognizer = make(alpha=0.0)
    batch = episode(recognizer, tiny)
    found = gradients(recognizer, tiny, batch)
    recognizer.zero_grad()
    torch.stack([focal_loss(recognizer(task["query"]), task["query"]["label"]) for task in batch["tasks"]]).mean().backward()
    for name, p in recognizer.named_parameters():
        if name.startswith("auxiliary"):
            assert float(found[name].abs().max()) == 0
        else:
            assert torch.allclose(found[name], p.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "options", [{}, {"inner_steps": 2}, {"first_order": True}, {"level": "single"}, {"task": {"alignment": "prototype"}}, {"task": {"alignment": "cosine"}}]
)
def test_a_run_trains_every_parameter_and_repeats_bit_for_bit(tiny, make, options, precision):
    states = []
    for _ in range(2):
        recognizer = make(**options)
        before = {name: p.detach().clone() for name, p in recognizer.named_parameters()}
        run_stages(recognizer, recognizer.strategy.stages(recognizer, known(tiny, recognizer)), seed=1, machine=Machine("cpu", precision, 1))
        assert [name for name, p in recognizer.named_parameters() if torch.equal(p, before[name])] == []
        states.append(recognizer.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_it_learns_the_clips_it_sees_and_drops_the_alignment_head(tiny, make):
    recognizer = make(steps=40, beta=3e-3, interval_jitter=False, augmentation={"flip": 0.0, "shift": 0})
    logs = run_stages(recognizer, recognizer.strategy.stages(recognizer, known(tiny, recognizer)), seed=0, machine=MACHINE)
    assert logs[0].rows[-1]["loss"] < 0.3 * logs[0].rows[0]["loss"]
    rows = predict_clips(recognizer, Clips(tiny, "micro"), MACHINE)
    assert all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert not any(key.startswith("auxiliary") for key in recognizer.saved())


def test_weights_of_other_people_and_few_clips_give_the_adapt_stage(tiny, make):
    recognizer = make(adaptation={"steps": 2, "lr": 0.1})
    people = sorted(Clips(tiny, "micro").subjects)
    few = Clips(tiny, "micro").without(people[:1]).sample_ids[::4]
    data = known(tiny, recognizer, people[:1], train_ids=few, begun=True)
    (stage,) = recognizer.strategy.stages(recognizer, data)
    assert (stage.name, stage.total_steps(), stage.scope) == ("adapt", 2, "fold") and stage.batches.source.sample_ids == few
    batch = stage.batches.draw(0, 0, CPU)
    before = {name: p.detach().clone() for name, p in recognizer.named_parameters()}
    focal_loss(recognizer(batch), batch["label"]).backward()
    wanted = recognizer.head.linear.weight - 0.1 * recognizer.head.linear.weight.grad
    run_stages(recognizer, [replace(stage, steps=1, batches=Fixed(stage.batches.clips, batch))], seed=0, machine=MACHINE)
    assert torch.allclose(recognizer.head.linear.weight, wanted, atol=1e-6)  # one plain step, as an inner step is one
    assert all(torch.equal(p, before[name]) == name.startswith("auxiliary") for name, p in recognizer.named_parameters())
    for part in (replace(data, begun=False), replace(data, narrowed=False)):
        assert [s.name for s in recognizer.strategy.stages(recognizer, part)] == ["episodes"]


class Fixed:
    """The same batch at every step."""

    def __init__(self, clips, batch) -> None:
        self.clips, self.batch = clips, batch

    def steps_per_epoch(self) -> int:
        return 1

    def draw(self, seed, step, device):
        return self.batch


def test_without_macro_clips_it_is_refused_unless_it_goes_on_from_weights(tiny, make):
    with pytest.raises(NeedsError, match="macro-clips"):
        assemble(registry().model("lightmannet"), "small", tiny.labels, data_provides=("emotion-labels",))
    recognizer = make()
    data = known(tiny, recognizer)
    without = replace(data, macro=data.macro.without(data.macro.subjects))
    with pytest.raises(NeedsError, match="macro-clips"):
        recognizer.strategy.stages(recognizer, without)
    assert recognizer.strategy.stages(recognizer, replace(without, begun=True))[0].batches.macro is None


def test_macro_clips_of_other_emotions_are_left_out(tiny, make, monkeypatch):
    recognizer = make()
    data = known(tiny, recognizer)
    monkeypatch.setattr(tiny, "label_index", tiny.label_index.copy())
    tiny.label_index[data.macro.rows[0]] = -1
    assert len(recognizer.strategy.stages(recognizer, data)[0].batches.macro) == len(data.macro) - 1
    tiny.label_index[data.macro.rows] = -1
    with pytest.raises(DataError, match=r"no macro clip shows one of .*--macro.*lightmannet\+linear\+supervised"):
        recognizer.strategy.stages(recognizer, data)


def test_a_training_part_that_lacks_a_class_still_trains(tiny, make):
    recognizer = make()
    data = known(tiny, recognizer)
    data = replace(data, micro=data.micro.where(data.micro.labels != 0))
    stage = recognizer.strategy.stages(recognizer, data)[0]
    assert all(0 not in side["label"] for task in stage.batches.draw(0, 0, CPU)["tasks"] for side in (task["support"], task["query"]))
    run_stages(recognizer, [stage], seed=0, machine=MACHINE)
    assert all(torch.isfinite(p).all() for p in recognizer.parameters())


def test_a_test_subject_among_micro_or_macro_clips_is_refused_by_the_engine(tiny, make):
    recognizer = make()
    stages = recognizer.strategy.stages(recognizer, known(tiny, recognizer))
    for kind in ("micro", "macro"):
        with pytest.raises(LeakageError, match="episodes"):
            run_stages(recognizer, stages, seed=0, machine=MACHINE, test_subjects=sorted(Clips(tiny, kind).subjects)[:1])


def test_parts_that_do_not_fit_are_refused_by_name(tiny):
    with pytest.raises(NeedsError, match="no-running-statistics"):
        build("timm/resnet18", "linear", [TASK], "meta-auxiliary", labels=tiny.labels)
    with pytest.raises(NeedsError, match="macro-alignment"):
        build("lightmannet", "linear", [], "meta-auxiliary", labels=tiny.labels)
    with pytest.raises(NeedsError, match="macro-episodes"):
        build("lightmannet", "linear", [TASK], "supervised", labels=tiny.labels)


def test_another_task_that_provides_the_word_is_told_what_is_wanted(tiny, make):
    recognizer = make()
    recognizer.auxiliary["another"] = recognizer.auxiliary[TASK]
    del recognizer.auxiliary[TASK]
    with pytest.raises(NeedsError, match=r"'macro-alignment' of merzoo-lightmannet itself"):
        recognizer.strategy.stages(recognizer, known(tiny, recognizer))


def test_what_is_recommended_where_there_are_no_macro_clips_works(tiny):
    spec = registry().model("lightmannet+linear+supervised")
    assert assemble(spec, "small", tiny.labels, data_provides=("emotion-labels",)).strategy is not None


@pytest.mark.parametrize(
    "options",
    [{"level": "tri"}, {"inner_steps": 0}, {"inner_steps": 6}, {"alpha": -1}, {"aux_weight": -0.1}, {"aux_weight": math.nan}, {"gamma": 1.5},
     {"gamma": math.inf}, {"beta": 0}, {"beta": "fast"}, {"beta": math.nan}, {"weight_decay": -1}, {"steps": 0}, {"steps": 2.5}, {"epochs": True},
     {"first_order": "False"}, {"interval_jitter": "no"}, {"interval_jitter": 0}, {"adaptation": {"steps": 0}}, {"adaptation": {"lr": math.nan}}],
)  # fmt: skip
def test_options_that_cannot_be(make, options):
    with pytest.raises(UsageError, match=f"^meta-auxiliary: {next(iter(options))}") as caught:
        make(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "task", [{"shuffle_macro_labels": "False"}, {"temperature": 0}, {"temperature": math.nan}, {"hidden": 0}, {"out": 1.5}, {"alignment": "dot"}]
)
def test_options_of_the_task_that_cannot_be(make, task):
    with pytest.raises(UsageError, match=f"^{TASK}: {next(iter(task))}"):
        make(task=task)
