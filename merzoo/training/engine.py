"""The engine: runs stages. It owns the loop, so every strategy gets seeding, mixed precision, checkpoints inside a stage, resume and progress."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from merzoo.entries import last_line
from merzoo.errors import RunError, TrainingError, UsageError
from merzoo.interfaces import Batch
from merzoo.recognizer import Recognizer
from merzoo.training import checkpoint, distributed
from merzoo.training.finite import Lookout, NotFiniteError, check_parameters, told, trained_by
from merzoo.training.machine import Machine
from merzoo.training.prefetch import stage_batches
from merzoo.training.seeds import derive, seed_all
from merzoo.training.stages import FitStage, GradientStage, Stage

Progress = Callable[[str, int, int, dict[str, float]], None]  # stage, step, steps in all, last logs
Watch = Callable[[Recognizer], list[int]]  # looks at the network without changing it; what it says is kept
LOG_EVERY = 10  # steps


@dataclass
class StageLog:
    """What a stage did: steps, seconds, training subjects, (step, losses) rows on the way, and what was seen of it after each epoch where it was watched."""

    name: str
    scope: str
    subjects: list[str]
    steps: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    epochs: list[list[int]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The log without its rows and epochs; `loss` is the mean over the last tenth of the rows."""
        facts = asdict(self)
        del facts["epochs"]
        last = [row["loss"] for row in facts.pop("rows") if "loss" in row]
        tail = last[-max(1, len(last) // 10) :]
        return {**facts, "loss": sum(tail) / len(tail) if tail else None}


def run_stages(
    recognizer: Recognizer,
    stages: Sequence[Stage],
    *,
    seed: int,
    machine: Machine,
    test_subjects: Collection[str] = (),
    forbidden: Collection[str] = (),
    watch: Watch | None = None,
    checkpoints: Path | None = None,
    every_seconds: float = 30.0,
    keep: bool = True,
    progress: Progress | None = None,
) -> list[StageLog]:
    """Run the stages in order on the machine; the recogniser ends in eval mode with the last step's weights.

    seed: with the stage's name and the step it decides every draw. test_subjects: nobody a stage draws from may be among them (`LeakageError`).
    forbidden: sample ids that no stage may draw from though their people are not tested (`TrainingError`): the clips that a few-shot draw leaves out.
    watch: asked after each epoch of the last stage, if that is a gradient stage, or once after it; see `StageLog.epochs`.
    checkpoints: a file that is rewritten every `every_seconds` inside a stage and after each; where it exists, the run goes on from it and ends
    in the same bits as one that was never stopped. keep False: not after the last stage, whose weights the caller makes something of at once.
    Raises `TrainingError`, with stage, step and clips, where a loss or gradient is not finite; the last good state is then in that file.
    Where torchrun started several processes (`machine.world`) all of them call this, and the first writes.
    """
    _check(recognizer, stages, test_subjects, forbidden)
    distributed.check(recognizer, stages, machine)
    distributed.warn_of_undivided(stages, machine)
    torch.set_num_threads(machine.threads)
    channels_last(recognizer.to(machine.device))
    logs, resumed = _resume(recognizer, checkpoints)
    distributed.same_place(machine.world, checkpoints, [len(logs), resumed.step if resumed else 0])
    for stage in stages[len(logs) :]:
        log = StageLog(stage.name, stage.scope, sorted(set().union(*(c.subjects for c in stage.clips))))
        stage_seed = derive(seed, stage.name)
        if resumed is None and stage.reset:
            reset(recognizer, stage.reset, derive(stage_seed, "reset"))
        sources = {id(clips.data): clips.data for clips in stage.clips}.values()
        for data in sources:
            data.drawn.clear()
        started = time.perf_counter()
        mine = distributed.share(stage, machine.world)
        if isinstance(mine, FitStage):
            seed_all(stage_seed, torch.device(machine.device))
            recognizer.eval()
            mine.fit(recognizer, mine.train)
            if watch is not None and stage is stages[-1]:
                log.epochs.append(watch(recognizer))
        elif mine is not None:  # else the first process runs it
            saver = distributed.saver(machine.world, checkpoints, every_seconds, logs)
            _descend(recognizer, mine, stage_seed, machine, log, resumed, saver, progress, watch if stage is stages[-1] else None)
        log.seconds += time.perf_counter() - started
        for data in sources:  # what it said it would draw from was checked above; this is what it did draw
            data.check_drawn(test_subjects, f"stage '{stage.name}'")
            if forbidden:
                _refuse(stage, forbidden, data.table["sample_id"].to_numpy()[sorted(data.drawn)])
        logs.append(log)
        resumed = None
        if checkpoints is not None and (keep or stage is not stages[-1]) and machine.world.first:
            checkpoint.save(checkpoints, recognizer, None, {"finished": [asdict(x) for x in logs]})
        logs[-1] = StageLog(**distributed.settle(recognizer, mine, asdict(log), machine.world))
    recognizer.requires_grad_(True)
    recognizer.eval()
    return logs


def channels_last(network: nn.Module) -> None:
    """Lay out the weights of 2D and 3D convolutions with the channels last, which is faster. `Module.to(memory_format=…)` knows one rank only, and fails
    for the other."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def _check(recognizer: Recognizer, stages: Sequence[Stage], test_subjects: Collection[str], forbidden: Collection[str]) -> None:
    """Raise unless every stage says which clips it draws from, may draw from them, and has a name of its own."""
    for stage in stages:
        if not stage.clips:
            raise TrainingError(f"stage '{stage.name}' does not say which clips it draws from; give its batches `clips`")
        for clips in stage.clips:
            clips.check(test_subjects, f"stage '{stage.name}'")
            _refuse(stage, forbidden, clips.sample_ids)
    twice = [name for name, times in Counter(stage.name for stage in stages).items() if times > 1]
    if twice:  # they would draw the same numbers, and be one stage in the run's record
        raise UsageError(f"strategy '{recognizer.spec.strategy}' has two stages named '{twice[0]}'; give each a name of its own")


def _refuse(stage: Stage, forbidden: Collection[str], sample_ids: Iterable[str]) -> None:
    if forbidden and (met := frozenset(forbidden).intersection(sample_ids)):
        raise TrainingError(f"stage '{stage.name}': clip {min(met)} is not among those that this fold may train on; draw from the clips the strategy is given")


@dataclass
class _Resumed:
    log: StageLog
    step: int
    optimizer: dict[str, Tensor]


def _resume(recognizer: Recognizer, path: Path | None) -> tuple[list[StageLog], _Resumed | None]:
    if path is None or not path.is_file():
        return [], None
    position, optimizer = checkpoint.restore(path, recognizer)
    try:
        logs, inside = [StageLog(**x) for x in position["finished"]], position.get("inside")
        return logs, _Resumed(StageLog(**inside["log"]), inside["step"], optimizer) if inside else None
    except (KeyError, TypeError) as error:
        raise RunError(f"checkpoint {path} does not say where it stands ({last_line(error)}); delete it and that part is trained again") from error


def _descend(
    recognizer: Recognizer,
    stage: GradientStage,
    seed: int,
    machine: Machine,
    log: StageLog,
    resumed: _Resumed | None,
    saver: checkpoint.Saver,
    progress: Progress | None,
    watch: Watch | None,
) -> None:
    """Gradient descent from the first step, or from where a checkpoint stands. Raises `TrainingError` for a loss, gradient or parameter that is not finite."""
    optimizer, first = _begin(recognizer, stage, log, resumed)
    base = [group["lr"] for group in optimizer.param_groups]
    total, per_epoch, device = stage.total_steps(), stage.batches.steps_per_epoch(), torch.device(machine.device)
    lookout, before = Lookout(device), None  # buffers before a step that has not been taken yet
    try:
        with closing(stage_batches(stage, seed, range(first, total), device, watched=watch is not None)) as batches:
            for step in range(first, total):
                # Every step seeds all randomness anew from its number, so that a resumed stage draws what the uninterrupted one would have drawn.
                seed_all(derive(seed, "step", step), device)
                batch, factor = next(batches), stage.schedule.factor(step, total, per_epoch)
                for group, lr in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = lr * factor
                before = [b.clone() for b in recognizer.buffers()] if lookout.at_once and saver.path is not None else None
                loss, extra, norm = _backward(recognizer, stage, seed, step, batch, machine, optimizer)
                lookout.note(step, loss, norm)
                optimizer.step()
                before = None
                if step % LOG_EVERY == 0 or step == total - 1:
                    lookout.check()
                    _note(stage, step, total, loss, extra, log, progress)
                if watch is not None and ((step + 1) % per_epoch == 0 or step == total - 1):
                    log.epochs.append(watch(recognizer))
                if saver.due():
                    lookout.check()
                    saver.save(recognizer, optimizer, log, step + 1)
        check_parameters(optimizer, total - 1)
    except NotFiniteError as bad:
        raise TrainingError(told(stage, seed, bad, device, saver.rescue(recognizer, optimizer, log, bad.step, before))) from None
    log.steps = total


def _begin(recognizer: Recognizer, stage: GradientStage, log: StageLog, resumed: _Resumed | None) -> tuple[torch.optim.Optimizer, int]:
    """The optimiser and the first step: of the stage, or as a checkpoint left them."""
    optimizer = _optimizer(recognizer, stage)
    if resumed is None:
        return optimizer, 0
    checkpoint.restore_optimizer(optimizer, resumed.optimizer)
    log.rows, log.epochs, log.seconds = resumed.log.rows, resumed.log.epochs, resumed.log.seconds
    return optimizer, resumed.step


def _backward(
    recognizer: Recognizer, stage: GradientStage, seed: int, step: int, batch: Batch, machine: Machine, optimizer: torch.optim.Optimizer
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The loss of a batch, its logs and the norm of its gradients, which are clipped where the stage says so."""
    with machine.autocast():
        loss, extra = stage.loss(recognizer, batch, torch.Generator().manual_seed(derive(seed, "loss", step)))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    trained = trained_by(optimizer)
    norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
    if stage.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(trained, stage.clip_norm, norm)
    return loss, extra, norm


def _note(stage: GradientStage, step: int, total: int, loss: Tensor, extra: dict[str, Tensor], log: StageLog, progress: Progress | None) -> None:
    """Read the losses (where a GPU is waited for) and tell the progress bar."""
    values = {"loss": float(loss.detach()), **{name: float(value) for name, value in extra.items()}}
    log.rows.append({"step": step, **values})
    if progress is not None:
        progress(stage.name, step + 1, total, values)


def _optimizer(recognizer: Recognizer, stage: GradientStage) -> torch.optim.Optimizer:
    """The stage's optimiser over its groups; everything else is frozen, and modules without a trained parameter go to eval mode, with all below them: a
    dropout or a norm without parameters in a frozen part is frozen too."""
    recognizer.requires_grad_(False)
    groups, taken = [], set()
    for group in stage.groups:
        below = dict.fromkeys(p for path in group.paths for p in _below(recognizer, path, stage.name).parameters())  # paths may overlap
        mine = [p for p in below if p not in taken]
        taken.update(mine)
        if mine:
            groups.append({"params": mine, "lr": group.lr, "weight_decay": group.weight_decay})
    if not groups:
        raise TrainingError(f"stage '{stage.name}' trains nothing: no parameters below {[p for g in stage.groups for p in g.paths]}; use a strategy that fits")
    for parameter in taken:
        parameter.requires_grad_(True)
    recognizer.train()
    for module in recognizer.modules():
        own = list(module.parameters())
        if own and not any(p.requires_grad for p in own):
            module.eval()
    return stage.optimizer(groups)


def _below(recognizer: Recognizer, path: str, stage: str) -> nn.Module:
    """The module at a path. Raises `TrainingError` where there is none."""
    try:
        return recognizer.get_submodule(path)
    except AttributeError as error:
        raise TrainingError(f"stage '{stage}': this network has no part '{path}' ({error}); use a strategy that fits") from None


def reset(recognizer: Recognizer, paths: Iterable[str], seed: int) -> None:
    """Draw the parameters below these module paths anew. A module with a `reset_parameters` of its own answers for all below it.

    Raises `TrainingError` for a path that is not there, and for a parameter that no `reset_parameters` answers for: it would keep what it has learned.
    """
    torch.manual_seed(seed)

    def draw(module: nn.Module) -> None:
        if callable(getattr(module, "reset_parameters", None)):
            module.reset_parameters()  # type: ignore[operator]
            return
        own = next((name for name, _ in module.named_parameters(recurse=False)), None)
        if own is not None:
            raise TrainingError(f"{type(module).__name__}.{own} cannot be drawn anew; give {type(module).__name__} a reset_parameters()")
        for child in module.children():
            draw(child)

    with torch.no_grad():
        for path in paths:
            draw(_below(recognizer, path, "reset"))


def state_hash(recognizer: Recognizer) -> str:
    """sha256 over the names and bytes of all weights that `Recognizer.saved` keeps."""
    digest = hashlib.sha256()
    for name, value in sorted(recognizer.saved().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
