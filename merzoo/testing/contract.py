"""What every registered model keeps, as checks: this project runs them over all models, and the author of a plugin over theirs.

    from merzoo.testing.contract import CHECKS, Case

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_contract(check):
        check(Case.of("my-model"))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import MerzooError
from merzoo.evaluation.predicting import predict_clips
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer, assemble, fill
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.testing.paperwork import check_paperwork
from merzoo.training.batches import test_batches
from merzoo.training.data import TrainingData
from merzoo.training.engine import channels_last, run_stages, state_hash
from merzoo.training.finite import trained_by
from merzoo.training.machine import Machine
from merzoo.training.stages import GradientStage, Stage
from merzoo.weights import read, write

STEPS = 5  # of the optimiser in each stage, within which every parameter gets a gradient
BATCH = 8  # clips, at most: enough for every class of the tiny part, and quick
TOLERANCE = 1e-5  # of a probability: other batch sizes sum in another order, and no more than that
ALIKE = 0.9  # cosine of gradients in bf16 and fp32; those of sound networks lie above 0.95
MACHINE = Machine("cpu", "fp32", 1)
CPU = torch.device("cpu")
PROPERTIES = ("no-running-statistics", "twice-differentiable")  # provided by what a backbone is, not by what it gives


class ContractError(MerzooError):
    """A model that does not keep the contract."""


@dataclass
class Case:
    """A model at a preset with clips to try it on; what is trained once serves several checks.

    make: how a recogniser is built, given whether it is for training; None assembles the specification.
    """

    spec: ModelSpec
    data: ClipData
    preset: str = "small"
    make: Callable[[bool], Recognizer] | None = None

    @classmethod
    def of(cls, name: str, preset: str = "small") -> Case:
        """A registered model on the tiny part of the synthetic faces, cropped as its preset asks. Raises `UnknownNameError`."""
        from merzoo.data.synthetic import SyntheticFaces

        spec = registry().model(name)
        return cls(spec, ClipData(SyntheticFaces("tiny"), spec.preset(preset).preprocessing), preset)

    def build(self, for_training: bool = True, seed: int = 0) -> Recognizer:
        """A fresh recogniser, its weights drawn from the seed."""
        torch.manual_seed(seed)
        if self.make is not None:
            return self.make(for_training)
        provides = frozenset(self.data.dataset.provides)
        return assemble(self.spec, self.preset, self.data.labels, self.data.task, data_provides=provides, for_training=for_training)

    def short_stages(self, recognizer: Recognizer) -> list[Stage]:
        """The stages of its strategy on all clips, each cut to `STEPS` steps of small batches."""
        stages = recognizer.strategy.stages(recognizer, TrainingData.without(self.data, (), recognizer.train_views))
        return [dataclasses.replace(s, steps=STEPS, epochs=None, batches=_small(s.batches)) if isinstance(s, GradientStage) else s for s in stages]

    @cached_property
    def trained(self) -> tuple[Recognizer, dict[str, bool]]:
        """The recogniser after its short stages, and of each parameter that a stage trains whether it got a gradient."""
        recognizer, seen = self.build(), dict[str, bool]()
        names = {parameter: name for name, parameter in recognizer.named_parameters()}
        stages = [_watched(s, names, seen) if isinstance(s, GradientStage) else s for s in self.short_stages(recognizer)]
        run_stages(recognizer, stages, seed=1, machine=MACHINE)
        return recognizer, seen

    def batch(self, recognizer: Recognizer, size: int) -> Batch:
        """The first look at the first clips."""
        clips = Clips(self.data, "micro")
        _, looks = next(test_batches(clips, recognizer.backbone.inputs, recognizer.test_views, size, CPU))
        return looks[0]

    def require(self, kept: bool, fault: str) -> None:
        """Raise `ContractError` that names the model unless something is kept."""
        if not kept:
            raise ContractError(f"{self.spec.name} ({self.preset}): {fault}")


def _small(batches: Any) -> Any:
    fields = {f.name for f in dataclasses.fields(batches)} if dataclasses.is_dataclass(batches) else set()
    return dataclasses.replace(batches, batch_size=min(BATCH, batches.batch_size)) if "batch_size" in fields else batches


def _watched(stage: GradientStage, names: Mapping[nn.Parameter, str], seen: dict[str, bool]) -> GradientStage:
    """The stage, which notes in `seen` whom it trains and who got a gradient that is not zero."""

    def optimizer(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        made = stage.optimizer(groups)

        def look(*_: object) -> None:
            for parameter in trained_by(made):
                name = names[parameter]  # type: ignore[index]
                seen[name] = seen.get(name, False) or (parameter.grad is not None and bool(parameter.grad.any()))

        made.register_step_pre_hook(look)
        return made

    return dataclasses.replace(stage, optimizer=optimizer)


def builds_on_meta(case: Case) -> None:
    """It can be built on the meta device, without memory or numbers, and is the same network there."""
    real = case.build().state_dict()
    try:
        with torch.device("meta"):
            meta = case.build().state_dict()
    except MerzooError:
        raise
    except Exception as error:
        raise ContractError(f"{case.spec.name} ({case.preset}): cannot be built on the meta device ({error}); ask no tensor for its numbers") from error
    shapes = [{name: value.shape for name, value in state.items()} for state in (real, meta)]
    case.require(shapes[0] == shapes[1], "is another network on the meta device; let its layers not depend on the numbers or the device of a tensor")
    there = next((name for name, value in meta.items() if value.device.type != "meta"), None)
    case.require(there is None, f"{there} is not on the meta device; make tensors without naming a device")


def forward_and_backward(case: Case) -> None:
    """Batches of one and of three clips give finite logits [B, classes], and gradients where it has parameters, in training mode."""
    for size in (1, 3):
        recognizer = case.build().train()
        try:
            logits = recognizer(case.batch(recognizer, size))
        except (ValueError, RuntimeError) as error:
            why = f"fails in training mode on {size} clips ({error}); take one clip too, e.g. with group norm in the place of batch norm"
            raise ContractError(f"{case.spec.name} ({case.preset}): {why}") from error
        wanted = [size, len(case.data.labels)]
        case.require([*logits.shape] == wanted, f"logits of {size} clips are {list(logits.shape)}, not {wanted}; keep one row a clip, up to the head")
        case.require(bool(logits.isfinite().all()), f"logits of {size} clips are not finite; look for a division by 0, or a root or logarithm of what may be 0")
        if logits.requires_grad:
            logits.logsumexp(1).sum().backward()
            finite = all(bool(p.grad.isfinite().all()) for p in recognizer.parameters() if p.grad is not None)
            case.require(finite, f"gradients of {size} clips are not finite; look for a root or a norm of what may be 0")
        else:
            fitted = not any(p.requires_grad for p in recognizer.backbone.parameters())
            case.require(fitted, "logits do not depend on its parameters; detach nothing, and compute under no torch.no_grad()")


def provides_what_it_says(case: Case) -> None:
    """The backbone gives every feature that it registered, and has no running statistics where it says so."""
    recognizer = case.build().eval()
    with torch.no_grad():
        features = recognizer.backbone(case.batch(recognizer, 2))
    for word in registry().get("backbone", case.spec.backbone).provides:
        if word == "no-running-statistics":
            keeps = next((name for name, _ in recognizer.backbone.named_buffers() if name.endswith(("running_mean", "running_var"))), None)
            remedy = "use group norm, or take the word out of provides"
            case.require(keeps is None, f"its backbone says it keeps no running statistics, and keeps {keeps}; {remedy}")
        elif word not in PROPERTIES:
            given = {"pooled": features.pooled, "maps": features.maps}.get(word, {word: features.extras[word]} if word in features.extras else {})
            place = f"Features.{word}" if word in ("pooled", "maps") else f"Features.extras[{word!r}]"
            case.require(bool(given), f"its backbone says it provides {word}, and gives none; put it into {place}, or take the word out of provides")
            wrong = next((name for name, value in given.items() if len(value) != 2), None)
            case.require(wrong is None, f"its backbone's {word} '{wrong}' does not have one row a clip; keep the batch the first axis")


def survives_safetensors(case: Case) -> None:
    """Saved and loaded strictly into a network with other weights, it gives the same logits bit for bit."""
    before = case.trained[0].eval()
    after = case.build(for_training=False, seed=99).eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        write(path, before.saved(), {})
        fill(after, read(path)[0], "contract")
    channels_last(after)  # as the engine lays out what it trains: another layout sums in another order
    with torch.no_grad():
        same = all(torch.equal(before(case.batch(before, size)), after(case.batch(after, size))) for size in (1, 3))
    case.require(same, "gives other logits after it was saved and loaded; what it learns must be parameters or persistent buffers")


def repeats_under_a_seed(case: Case) -> None:
    """Built and trained twice under one seed, it ends in the same bits."""
    again = case.build()
    torch.rand(3)  # numbers that somebody else takes in between
    run_stages(again, case.short_stages(again), seed=1, machine=MACHINE)
    same = state_hash(again) == state_hash(case.trained[0])
    remedy = "draw from the generators that are given or torch's global one, not from random or numpy"
    case.require(same, f"ends in other bits when it is trained again under the same seed; {remedy}")


def predicts_each_clip_alone(case: Case) -> None:
    """What it says of a clip depends neither on the order nor on the number of clips beside it, and saying it changes nothing."""
    recognizer, micro = case.trained[0], Clips(case.data, "micro")
    before = state_hash(recognizer)
    found = []
    for clips, size in ((micro, 64), (Clips(case.data, "micro", micro.positions[::-1]), 64), (micro, 1), (micro, 5)):
        found.append({row["sample_id"]: _numbers(row) for row in predict_clips(recognizer, clips, MACHINE, size)})
    apart = max(float((one[sample] - numbers).abs().max()) for one in found[1:] for sample, numbers in found[0].items())
    case.require(apart <= TOLERANCE, f"what it says of a clip changes by {apart:.1e} with the clips beside it; take no statistics over a batch in eval mode")
    case.require(state_hash(recognizer) == before, "predicting changes its weights; write no buffer in eval mode")


def _numbers(row: dict[str, Any]) -> torch.Tensor:
    extra = [number for task in row.get("auxiliary", {}).values() for numbers in task.values() for number in numbers]
    return torch.tensor([*row["probabilities"], *extra], dtype=torch.float64)


def trains_every_parameter(case: Case) -> None:
    """Every parameter is trained by some stage, and gets a gradient that is not zero within a few steps of it. Models that are fitted have none."""
    recognizer, seen = case.trained
    forgotten = [name for name, _ in case.build().named_parameters() if name not in seen]
    case.require(not forgotten, f"no stage trains {_few(forgotten)}; add it to a stage's groups, or make it a buffer")
    still = [name for name, moved in seen.items() if not moved]
    case.require(not still, f"no gradient reaches {_few(still)} within {STEPS} steps of a stage that trains it; use it in forward, or delete it")
    case.require(bool(seen) or any(True for _ in recognizer.head.buffers()), "nothing in it is trained or fitted; give it parameters, or a head that is fitted")


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def agrees_in_bf16(case: Case) -> None:
    """Its gradients in bf16 on a CPU point the way those in fp32 do: torch's CPU kernels give garbage for some shapes of convolutions, without a word."""
    slopes = []
    for precision in (MACHINE, dataclasses.replace(MACHINE, precision="bf16")):
        recognizer = case.build().train()
        channels_last(recognizer)
        batch = case.batch(recognizer, BATCH)
        torch.manual_seed(0)
        with precision.autocast():
            logits = recognizer(batch)
        if not logits.requires_grad:
            return
        nn.functional.cross_entropy(logits.float(), torch.arange(len(logits)) % logits.shape[1]).backward()
        slopes.append(torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in recognizer.parameters()]))
    alike = float(nn.functional.cosine_similarity(slopes[0], slopes[1], dim=0))
    case.require(alike >= ALIKE, f"its gradients in bf16 and fp32 have a cosine of {alike:.2f}; compute the layers at fault in fp32 on a CPU")


def is_described(case: Case) -> None:
    """Its specification is complete and its weights are what their cards say (see `merzoo.testing.paperwork`)."""
    case.require(not (faults := [*check_paperwork(case.spec)]), "; also: ".join(faults))


CHECKS: Mapping[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        builds_on_meta,
        forward_and_backward,
        provides_what_it_says,
        survives_safetensors,
        repeats_under_a_seed,
        predicts_each_clip_alone,
        trains_every_parameter,
        agrees_in_bf16,
        is_described,
    )
}
"""All checks by name; each raises `ContractError`, or what the core raises where a model cannot be built or trained at all."""
