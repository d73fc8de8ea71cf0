"""Whether a `cost` file is what it says: every summary made again from its samples, and nothing in it that contradicts itself or the plugin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.benchmark.rules import FEWEST, TOLERANCE, knee, told
from merzoo.benchmark.statistics import summary
from merzoo.evaluation.checks import Check, verdict
from merzoo.evaluation.records import is_count, is_number
from merzoo.results.desk import Desk
from merzoo.results.equal import differences
from merzoo.results.verdict import Verdict, envelope, environment, is_text, reported
from merzoo.text import plain

SCENARIOS = ("latency", "throughput", "train-step", "load", "predict", "views")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", None)
LAYOUTS = ("contiguous", "channels-last", None)
MODES = ("eager", "compiled", "cuda-graph", None)
NAMED = ("scenario", "precision", "layout", "mode", "batch", "about")  # what tells measurements apart
SHOWN = (*NAMED, "summary", "device_p50", "per_second", "knee", "peak_bytes", "energy_joules", "floor_us", "faults")
WARM_UP, CHECK = ("calls", "seconds", "steady"), ("error", "tolerance", "ok")
MAX_SAMPLES = 200_000  # of one measurement
MAX_MEASUREMENTS = 2_000
SHORTEST, LARGEST = 1e-4, 1e18  # of times in microseconds, and of any number: their ratios stay finite
WEIGHTS, SUMMARIES, FAULTS = "weights", "summaries", "faults"
NEEDED = frozenset(("measurements", SUMMARIES, WEIGHTS))


def check_cost(value: Mapping[str, Any], path: Path, desk: Desk) -> Verdict:
    """What a board makes of the content of a `cost` file (of `merzoo.results.reading.read`); fields are read with distrust. path: for messages."""
    checks = [envelope(value)]
    if checks[0].status == "failed":
        return Verdict("cost", checks, NEEDED)
    checks += [environment(value), reported(value, desk), _weights(value, desk), _facts(value)]
    shape = verdict("measurements", [*_shapes(value)], f"{_count(value)} are there, each told apart", "things are wrong with the measurements")
    checks.append(shape)
    if shape.status == "failed":
        checks.append(Check(SUMMARIES, "not checked", "the measurements are not as they should be"))
        return Verdict("cost", checks, NEEDED)
    found = [line for one in value["measurements"] for line in _summary(one)]
    found += _knees(value["measurements"])
    if checks[-2].status == "passed":  # the roofline is one
        found += [line for one in value["measurements"] for line in _floor(one, value)]
    checks.append(verdict(SUMMARIES, found, "each was made again from its samples and is equal", "numbers are not what the samples give"))
    checks.append(_faults(value))
    return Verdict("cost", checks, NEEDED)


def on_board(value: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The measurements of a checked file that a board shows, without their samples, and what it skips: those that could not be made, and those at fault.
    Fields that are not known here are passed over."""
    measured = [one for one in value["measurements"] if not at_fault(one)]
    skipped = [{**_picked(one, NAMED[:-1]), "reason": "; ".join(faults)} for one in value["measurements"] if (faults := at_fault(one))]
    kept = [{**_picked(one, SHOWN), "warm_up": _inside(one, "warm_up", WARM_UP), "check": _inside(one, "check", CHECK)} for one in measured]
    return kept, [_picked(one, (*NAMED[:-1], "reason")) for one in value["skipped"]] + skipped


def _picked(one: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: one.get(name) for name in names}


def _inside(one: Mapping[str, Any], name: str, names: tuple[str, ...]) -> dict[str, Any] | None:
    return None if one.get(name) is None else _picked(one[name], names)


def at_fault(one: Mapping[str, Any]) -> list[str]:
    """Why a measurement of a checked file is on no board: the faults that it tells, and too few times of a latency."""
    few = one["scenario"] == "latency" and len(one["samples_us"]) < FEWEST
    return [*one["faults"], *([f"{len(one['samples_us'])} times were measured, and a latency needs {FEWEST}"] if few else [])]


def called(one: Mapping[str, Any]) -> str:
    """A measurement in words: latency fp32 contiguous eager, batch 1, state cold."""
    about = [f"{key} {entry}" for key, entry in one["about"].items()] if isinstance(one.get("about"), Mapping) else []
    words = [str(one.get(name)) for name in NAMED[:-2] if one.get(name) is not None]
    batch = [] if one.get("batch") is None else [f"batch {one['batch']}"]
    return plain(", ".join([" ".join(words), *batch, *about]), 160)


def _count(value: Mapping[str, Any]) -> int:
    return len(value["measurements"]) if isinstance(value.get("measurements"), list) else 0


def _weights(value: Mapping[str, Any], desk: Desk) -> Check:
    weights, model = value.get("weights"), desk.model(value["model"])
    if weights is None:
        return Check(WEIGHTS, "passed", "random ones were timed")
    if not isinstance(weights, Mapping) or not all(isinstance(weights.get(name), str) for name in ("tag", "sha256")):
        return Check(WEIGHTS, "failed", "weights is neither null nor {tag, sha256}")
    if isinstance(model, str):
        return Check(WEIGHTS, "not checked", plain(model, 200))
    spec = next((spec for spec in model.weights if spec.tag == weights["tag"]), None)
    if spec is None or spec.sha256 != weights["sha256"]:
        there = "the plugin has none of that tag" if spec is None else f"the plugin's hash to {spec.sha256[:12]}…"
        return Check(WEIGHTS, "failed", f"'{plain(weights['tag'], 80)}' ({plain(weights['sha256'][:12])}…) was timed, and {there}")
    return Check(WEIGHTS, "passed", f"'{spec.tag}' is the plugin's ({spec.sha256[:12]}…)")


def _facts(value: Mapping[str, Any]) -> Check:
    """What is said once for all measurements."""
    found = []
    for name, least in (("parameters", 0), ("looks", 1), ("bytes", 0)):
        if not (is_count(value.get(name)) and value[name] >= least):
            found.append(f"{name} is {_shown(value.get(name))}, no whole number of at least {least}")
    if not _none_or(value.get("flops"), is_count):
        found.append(f"flops is {_shown(value.get('flops'))}, neither null nor a count")
    inputs = value.get("inputs")
    if not isinstance(inputs, Mapping) or not all(is_text(name) and isinstance(shape, list) and all(map(is_count, shape)) for name, shape in inputs.items()):
        found.append("inputs is no object of shapes")
    if not _is_roofline(value.get("roofline")):
        found.append("roofline does not hold positive rates of copying and of matrix products")
    found += _noise(value.get("noise"))
    skipped = value.get("skipped")
    if not isinstance(skipped, list) or not all(isinstance(one, Mapping) and is_text(one.get("reason"), most=1000) for one in skipped):
        found.append("skipped is no list of objects with a reason")
    elif not all(one.get(name) is None or is_text(one[name]) or is_count(one[name]) for one in skipped for name in NAMED[:-1]):
        found.append("skipped names what is neither text nor a count")
    return verdict("facts", found, f"{value.get('parameters')} parameters; the noise of the machine was made again", "things are not as they should be")


def _is_roofline(roofline: Any) -> bool:
    rates = roofline.get("matmul_flops_per_second") if isinstance(roofline, Mapping) else None
    if not isinstance(rates, Mapping) or not all(map(is_text, rates)):
        return False
    return all(map(_positive, (roofline.get("copy_bytes_per_second"), *rates.values())))


def _noise(noise: Any) -> Iterator[str]:
    blocks = noise.get("blocks_us") if isinstance(noise, Mapping) else None
    if not isinstance(blocks, list) or not blocks or not all(map(_positive, blocks)):
        yield "noise.blocks_us is no list of times"
        return
    again = told(blocks)
    for name in ("spread", "limit", "noisy"):
        yield from differences(noise.get(name), again[name], f"noise.{name}")


def _shapes(value: Mapping[str, Any]) -> Iterator[str]:
    """What is no measurement, or is there twice, or cannot be of this machine."""
    measurements = value.get("measurements")
    if not isinstance(measurements, list) or not 0 < len(measurements) <= MAX_MEASUREMENTS or not all(isinstance(one, Mapping) for one in measurements):
        yield f"measurements is no list of 1 to {MAX_MEASUREMENTS} objects"
        return
    facts = value.get("environment")
    on_cpu = isinstance(facts, Mapping) and facts.get("device") == "cpu"
    for one in measurements:
        faults = [*_fields(one), *_times(one)]
        if on_cpu and (one.get("device_us") is not None or one.get("mode") == "cuda-graph" or one.get("precision") == "tf32"):
            faults.append("is of a GPU, and the environment says that the device is a cpu")
        yield from (f"{called(one)}: {fault}" for fault in faults)
    keys = Counter(tuple(repr(one.get(name)) for name in NAMED) for one in measurements)
    yield from (f"{plain(' '.join(key), 160)} is there {count} times" for key, count in keys.items() if count > 1)


def _fields(one: Mapping[str, Any]) -> Iterator[str]:
    for name, known in (("scenario", SCENARIOS), ("precision", PRECISIONS), ("layout", LAYOUTS), ("mode", MODES)):
        if one.get(name) not in known:
            yield f"{name} is {_shown(one.get(name))}, none of {', '.join(map(str, known))}"
    if not _none_or(one.get("batch"), lambda batch: is_count(batch) and batch > 0):
        yield f"batch is {_shown(one.get('batch'))}"
    about = one.get("about")
    entries = about.items() if isinstance(about, Mapping) else [("", None)]
    if len(entries) > 20 or not all(is_text(key, most=60) and (is_text(entry) or is_number(entry)) for key, entry in entries):
        yield "about is no object of texts and numbers"
    if not isinstance(one.get("faults"), list) or not all(is_text(fault, most=1000) for fault in one["faults"]):
        yield "faults is no list of texts"
    if not isinstance(one.get("knee", False), bool | None):
        yield "knee is neither true nor false"
    for name in ("per_second", "peak_bytes", "energy_joules", "floor_us"):
        if not _none_or(one.get(name), lambda number: is_number(number) and 0 <= number < LARGEST):
            yield f"{name} is {_shown(one.get(name))}, neither null nor a number from 0 to {LARGEST:g}"
    warm_up, check = one.get("warm_up"), one.get("check")
    fine = isinstance(warm_up, Mapping) and is_count(warm_up.get("calls")) and is_number(warm_up.get("seconds")) and isinstance(warm_up.get("steady"), bool)
    if not fine:
        yield "warm_up is not {calls, seconds, steady}"
    if check is None:
        if one.get("scenario") in ("latency", "throughput") and not one.get("faults"):
            yield "no output was checked, and no fault is told"
        return
    if not (isinstance(check, Mapping) and isinstance(check.get("ok"), bool) and (not check["ok"] or all(is_number(check.get(name)) for name in CHECK[:2]))):
        yield "check is not {error, tolerance, ok}"
    elif check["ok"] and not 0 <= check["error"] <= check["tolerance"] <= _tolerated(one):
        within = f"{_shown(check['tolerance'])}, or more than {_tolerated(one):g} is tolerated"
        yield f"check.ok is true, and the error {_shown(check['error'])} is not within {within}"
    elif not check["ok"] and not one.get("faults"):
        yield "its outputs are not those of the reference, and no fault is told"


def _tolerated(one: Mapping[str, Any]) -> float:
    """The most that outputs of its precision may lose; that of fp32 where it has none."""
    precision = one.get("precision")
    return TOLERANCE.get(precision, 0.0) if isinstance(precision, str) else TOLERANCE["fp32"]


def _times(one: Mapping[str, Any]) -> Iterator[str]:
    samples, device = one.get("samples_us"), one.get("device_us")
    for name, times in (("samples_us", samples), *([] if device is None else [("device_us", device)])):
        if not isinstance(times, list) or not 0 < len(times) <= MAX_SAMPLES or not all(type(time) in (float, int) for time in times):
            yield f"{name} is no list of 1 to {MAX_SAMPLES:,} numbers"
        elif not (min(times) >= SHORTEST and max(times) < LARGEST):
            yield f"{name} holds a time that no clock gives"
        elif name == "device_us" and isinstance(samples, list) and len(times) != len(samples):
            yield f"device_us has {len(times)} times, samples_us {len(samples)}"
    if not isinstance(one.get("summary"), Mapping):
        yield "summary is no object"


def _summary(one: Mapping[str, Any]) -> Iterator[str]:
    made: dict[str, Any] = {"summary": summary(one["samples_us"])}
    if one.get("device_us") is not None:
        made["device_p50"] = float(np.median(one["device_us"]))
    if one.get("per_second") is not None:
        items = one["about"].get("frames") if one["scenario"] == "predict" else 1 if one["scenario"] == "views" else one.get("batch")
        made["per_second"] = 1e6 * float(items) / made["summary"]["p50"] if isinstance(items, int | float) else None
    for name, again in made.items():
        yield from (f"{called(one)}: {line}" for line in differences(one.get(name), again, name))
    if one.get("device_us") is None and one.get("device_p50") is not None:
        yield f"{called(one)}: device_p50 is {_shown(one['device_p50'])}, and there are no times of the device"


def _knees(measurements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where a sweep of batches names its knee, it is the one that the rates give; those at fault are among them, as they were when it was measured."""
    sweeps: dict[str, list[Mapping[str, Any]]] = {}
    for one in measurements:
        if one["scenario"] == "throughput" and one.get("batch") is not None and one.get("per_second") is not None:
            sweeps.setdefault(repr([one.get(name) for name in ("precision", "layout", "mode", "about")]), []).append(one)
        elif one.get("knee"):
            yield f"{called(one)}: knee is true, and no rate of a batch size is told"
    for sweep in sweeps.values():
        made = knee({one["batch"]: one["per_second"] for one in sweep})
        yield from (f"{called(one)}: knee is true, made again it is at batch {made}" for one in sweep if one.get("knee") and one["batch"] != made)


def _floor(one: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[str]:
    """A claimed floor at batch 1 is that of the file's own roofline, flops and bytes; of other batches the file does not say what is moved."""
    if one.get("batch") != 1 or one["scenario"] not in ("latency", "throughput") or one.get("floor_us") is None:
        return
    roofline = value["roofline"]
    rate = roofline["matmul_flops_per_second"].get(one.get("precision"))
    known = rate is not None and value.get("flops") is not None
    made = 1e6 * max(value["flops"] / rate, value["bytes"] / roofline["copy_bytes_per_second"]) if known else None
    yield from (f"{called(one)}: {line}" for line in differences(one["floor_us"], made, "floor_us"))


def _faults(value: Mapping[str, Any]) -> Check:
    told = [f"{called(one)}: {plain('; '.join(faults), 200)}" for one in value["measurements"] if (faults := at_fault(one))]
    if len(told) == len(value["measurements"]):
        return verdict(FAULTS, told, "", "measurements have faults, and there are no others")
    return Check(FAULTS, "passed", f"{len(told)} measurements have faults and stay off boards" if told else "no measurement has a fault", told[:20])


def _positive(number: Any) -> bool:
    return is_number(number) and number > 0


def _none_or(value: Any, fine: Any) -> bool:
    return value is None or bool(fine(value))


def _shown(value: Any) -> str:
    return plain(repr(value), 60)
