"""Batches drawn ahead of time: while a step computes, a thread draws the next batch, which is the same whenever it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import torch

from merzoo.interfaces import Batch
from merzoo.training.stages import GradientStage


def stage_batches(stage: GradientStage, seed: int, steps: range, device: torch.device, watched: bool) -> Generator[Batch, None, None]:
    """The batches of a stage, drawn ahead where that saves time: where the one before had to read frames and make views of them. See `drawn`.

    Picking from views that are kept is soon done, and would only take a core, or Python itself, from the step (our choice, on a measurement: 18 ms of 4,000).
    watched: somebody looks at test clips after each epoch. No thread draws meanwhile: the account of drawn clips is then given back as it was before.
    """
    data = {id(clips.data): clips.data for clips in stage.clips}.values()
    before = sum(d.reads for d in data)

    def ahead(step: int) -> bool:
        nonlocal before
        reads, before = sum(d.reads for d in data) - before, sum(d.reads for d in data)
        return reads > 0 and not (watched and step % stage.batches.steps_per_epoch() == 0)

    return drawn(lambda step: stage.batches.draw(seed, step, device), steps, ahead)


def drawn(draw: Callable[[int], Batch], steps: range, ahead: Callable[[int], bool]) -> Generator[Batch, None, None]:
    """`draw(step)` of each step, in order; that of the next is drawn in a thread meanwhile, where `ahead(next step)` allows it.

    What `draw` raises is raised at its own step. Close the generator where it may be left early: that waits for the thread. A `draw` that takes numbers from
    torch's global generators, as its first step tells, is never called ahead: the step that computes takes from them too.
    """
    before = _random_state()
    batch = draw(steps[0])
    pure = all(torch.equal(a, b) for a, b in zip(before, _random_state(), strict=True))
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        for following in steps[1:]:
            future = pool.submit(draw, following) if pure and ahead(following) else None
            yield batch
            batch = draw(following) if future is None else future.result()
    yield batch


def _random_state() -> list[torch.Tensor]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *cuda]
