"""Does MA2MI learn motion? Evidence on held-out synthetic faces: `python -m merzoo_ma2mi.evidence --out DIR`.

A reconstruction error below that of copying the first frame is not evidence by itself: a denoiser gets there as well, and most of the change between
two frames is drift of the head. So the pretext is held against a control that is trained equally but sees no code, against codes of other clips, and
against the untrained network.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from merzoo.data.clips import ClipData, Clips
from merzoo.data.sources import open_clips
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import DataError, MerzooError, UsageError
from merzoo.recognizer import Recognizer, assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine
from merzoo.training.seeds import derive
from merzoo_ma2mi import measures
from merzoo_ma2mi.measures import batches_for, drawn_pairs, ratio_interval
from merzoo_ma2mi.reconstruction import picture
from merzoo_ma2mi.strategy import MA2MI, TASK, future_frame

HELD_SHARE = 4  # every fourth person of the macro clips is held out
QUICK = {"autoencoder": {"steps": 60}, "pretext": {"steps": 60}}
LIMIT = 0.85  # of the error without a code: what the error with one must not exceed


def evidence(data: str, out: Path, *, quick: bool = False, seed: int = 0, threads: int = 0, log: Any = print) -> dict[str, Any]:
    """Train pretext and control on some identities, measure on others, write evidence.json, evidence.md and reconstruction.png into `out`; returns the numbers.

    Raises `DataError` for data without truth or with too few people.
    """
    spec = registry().model("miacnet-ma2mi")
    clips = open_clips(data, spec.preset("small").preprocessing)
    faces = clips.dataset
    if not isinstance(faces, SyntheticFaces):
        raise DataError(f"{data} knows no true action units; the evidence needs synthetic faces")
    people = sorted(Clips(clips, "macro").subjects)
    held = frozenset(people[HELD_SHARE - 1 :: HELD_SHARE] or people[-1:])
    if len(people) < 3:
        raise DataError(f"{data} has macro clips of {len(people)} people; the evidence needs at least 3")
    machine = Machine.of("cpu", threads=threads)
    full = _trained(spec, clips, held, seed, machine, quick, log)
    control = _trained(spec, clips, held, seed, machine, quick, log, codec_of=full)
    facts = {"data": data, "manifest_hash": clips.dataset.manifest_hash, "held_out": sorted(held), "seed": seed, "quick": quick}
    counts = (64, 12) if quick else (512, 96)
    found = {**facts, **_reconstruction(full, control, clips, faces, held, seed, *counts), **_probed(spec, full, clips, faces, seed)}
    _write(out, found)
    picture(full, Clips(clips, "macro").without(set(people) - held), out / "reconstruction.png", seed=seed)
    return found


def _trained(
    spec: ModelSpec, clips: ClipData, held: frozenset[str], seed: int, machine: Machine, quick: bool, log: Any, codec_of: Recognizer | None = None
) -> Recognizer:
    """The pretext trained without the held-out people; with `codec_of`, the control: no code, the same latent space, draws and initial weights of D."""
    recognizer = _fresh(spec, clips, seed, quick, condition=codec_of is None)
    stages = _strategy(recognizer).pretraining(recognizer, TrainingData.without(clips, held, recognizer.train_views))
    if codec_of is not None:
        future_frame(recognizer).latent.load_state_dict(future_frame(codec_of).latent.state_dict())
        stages = [stage for stage in stages if stage.name == "pretext"]
    who = "control" if codec_of is not None else "pretext"
    run_stages(recognizer, stages, seed=derive(seed, "evidence"), machine=machine, test_subjects=held, progress=lambda *step: _tell(log, who, *step))
    return recognizer


def _fresh(spec: ModelSpec, clips: ClipData, seed: int, quick: bool, condition: bool = True) -> Recognizer:
    small = spec.preset("small")
    task = {TASK: {**small.auxiliary[TASK], "condition": condition}}
    strategy = {**small.strategy, **{name: {**small.strategy[name], **QUICK[name]} for name in QUICK}} if quick else small.strategy
    torch.manual_seed(derive(seed, "init"))
    return assemble(replace(spec, presets={"small": replace(small, auxiliary=task, strategy=strategy)}), "small", clips.labels)


def _strategy(recognizer: Recognizer) -> MA2MI:
    assert isinstance(recognizer.strategy, MA2MI)
    return recognizer.strategy


def _tell(log: Any, who: str, stage: str, step: int, total: int, losses: dict[str, float]) -> None:
    if step % 100 == 1 or step == total:
        log(f"{who}: {stage} {step}/{total} " + " ".join(f"{name} {value:.4f}" for name, value in losses.items()))


def _reconstruction(
    full: Recognizer, control: Recognizer, clips: ClipData, faces: SyntheticFaces, held: frozenset[str], seed: int, count: int, rendered: int
) -> dict[str, Any]:
    """Errors on `count` pairs of the held-out people; `rendered` of them are rendered anew for the ablations."""
    macro = Clips(clips, "macro")
    batches = batches_for(full, macro.without(macro.subjects - held), _strategy(full).delta)
    pairs = drawn_pairs(batches, count, derive(seed, "held-out pairs"))
    ours, blind = measures.errors(full, batches, pairs), measures.errors(control, batches, pairs)
    some = pairs[:rendered]
    copy, error = measures.copy_and_error(full, batches, some, faces, head=False, noise=False)
    noise, _ = measures.copy_and_error(full, batches, some, faces, motion=False, head=False)
    return {
        "pairs": len(pairs),
        "error_over_control": _interval(ratio_interval(ours.rebuilt, blind.rebuilt, ours.subject)),
        "swapped_over_control": _interval(ratio_interval(ours.swapped, blind.rebuilt, ours.subject)),
        "copy_ratio": _interval(ratio_interval(ours.rebuilt, ours.copy, ours.subject)),
        "control_copy_ratio": _interval(ratio_interval(blind.rebuilt, blind.copy, ours.subject)),
        "copy_ratio_action_units_only": error / copy,
        "noise_floor": 0.5 * noise / float(ours.copy.mean()),  # of two frames that differ by noise, half the squared difference cannot be foretold
    }


def _probed(spec: ModelSpec, full: Recognizer, clips: ClipData, faces: SyntheticFaces, seed: int) -> dict[str, Any]:
    """R² of a linear probe from C_Δ to action units on micro clips, whose people no stage has met, against the untrained network."""
    micro = Clips(clips, "micro")
    batches = batches_for(full, micro, _strategy(full).delta)
    pairs = [(at, micro.interval(at)) for at in range(len(micro))]
    target, subject = measures.intensities(faces, micro, pairs), micro.subject_of
    untrained = _settled(_fresh(spec, clips, seed, quick=True), batches, pairs)
    r2, residuals = {}, {}
    for name, network in (("pretext", full), ("untrained", untrained)):
        residuals[name], spread = measures.probe(measures.codes(network, batches, pairs), target, subject)
        r2[name] = 1 - ratio_interval(residuals[name], spread, subject)[0]
    gain, low, high = ratio_interval(residuals["untrained"] - residuals["pretext"], spread, subject)
    return {"probe_action_units": target.shape[1], "probe_r2": r2, "probe_gain": {"value": gain, "low": low, "high": high}}


def _settled(recognizer: Recognizer, batches: Any, pairs: list[measures.Pair]) -> Recognizer:
    """An untrained network with batch-norm statistics of these very pairs: without them its activations would be off for no fault of its weights."""
    recognizer.train()
    with torch.no_grad():
        for _ in range(4):
            for at in range(0, len(pairs), 64):
                recognizer.backbone(batches.load(pairs[at : at + 64], torch.device("cpu")))
    return recognizer.eval()


def _interval(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), values, strict=True))


def _write(out: Path, found: dict[str, Any]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "evidence.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (out / "evidence.md").write_text(table(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror}); choose another folder") from error


def table(found: dict[str, Any]) -> str:
    """The numbers as a Markdown table. Intervals are 95 %, over resampled subjects."""

    def shown(value: Any) -> str:
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" if isinstance(value, dict) else f"{value:.3f}"

    r2 = found["probe_r2"]
    rows = [
        (f"error / error of the control without a code (wanted: at most {LIMIT})", found["error_over_control"]),
        ("the same with another clip's code (wanted: at least 1)", found["swapped_over_control"]),
        (f"probe R², pretext {r2['pretext']:.3f}, untrained {r2['untrained']:.3f}: difference (wanted: above 0)", found["probe_gain"]),
        ("error / error of copying the first frame", found["copy_ratio"]),
        ("the same of the control", found["control_copy_ratio"]),
        ("the same where only action units move", found["copy_ratio_action_units_only"]),
        ("share of the copy's error that is sensor noise", found["noise_floor"]),
    ]
    head = f"{found['data']}, {len(found['held_out'])} people held out, {found['pairs']} pairs, seed {found['seed']}{', quick' if found['quick'] else ''}"
    return f"{head}\n\n| measure | value |\n|---|---|\n" + "".join(f"| {name} | {shown(value)} |\n" for name, value in rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line; gives the exit code."""
    about = "Evidence that MA2MI's pretext learns motion, on held-out synthetic faces."
    parser = argparse.ArgumentParser(prog="python -m merzoo_ma2mi.evidence", description=about)
    parser.add_argument("--out", type=Path, required=True, help="folder for evidence.json, evidence.md and reconstruction.png")
    parser.add_argument("--data", default="synthetic:development")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; the numbers mean nothing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        tell = lambda text: print(text, file=sys.stderr)  # noqa: E731
        found = evidence(options.data, options.out, quick=options.quick, seed=options.seed, threads=os.cpu_count() or 1, log=tell)
    except MerzooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
