"""Whether a `scores` file is what it says: every score made again from its predictions, and its labels, folds and weights compared with those here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merzoo.errors import MerzooError, MerzooWarning, ResultError
from merzoo.evaluation.audit import read_records, record_checks
from merzoo.evaluation.audit_data import FOLDS, HINT, LABELS, Truth, folds_check, labels_check
from merzoo.evaluation.checks import Check, verdict
from merzoo.evaluation.records import check_data
from merzoo.evaluation.run import Run
from merzoo.evaluation.runs import result
from merzoo.results.desk import Desk
from merzoo.results.equal import differences
from merzoo.results.packed import REMEDY, PackedRun, opened
from merzoo.results.verdict import Verdict, envelope, environment, reported
from merzoo.text import plain

DATA, CLAIM, START = "data set", "claimed scores", "starting weights"
SHARED = ("model", "preset", "parts", "environment", "created")  # of run.json, in the envelope too
NEEDED = frozenset(("folds", DATA, LABELS, CLAIM, START))


def check_scores(value: Mapping[str, Any], path: Path, desk: Desk) -> Verdict:
    """What a board makes of the content of a `scores` file (of `merzoo.results.reading.read`); fields are read with distrust. path: for messages."""
    checks = [envelope(value)]
    if checks[0].status == "failed":
        return Verdict("scores", checks, NEEDED)
    checks += [environment(value), reported(value, desk)]
    truth, known = _data(value, desk, path)
    checks.append(known)
    try:
        run = opened(value, path, truth)
        records, faults = read_records(run)
    except MerzooError as error:
        hashed = isinstance(error, ResultError) and truth is None
        checks.append(Check("folds", "not checked" if hashed else "failed", str(error)))
        return Verdict("scores", checks, NEEDED)
    checks += [_told_twice(value, run), *record_checks(run, records, faults)]
    checks += [labels_check(run, records, truth), folds_check(run, truth)] if truth else [Check(name, "not checked", known.text) for name in (LABELS, FOLDS)]
    checks.append(starting(run, desk))
    if any(faults.values()) or run.missing() or run.stray() or not records:
        checks.append(Check(CLAIM, "not checked", "its folds are not as they should be, so nothing is made of them"))
        return Verdict("scores", checks, NEEDED, None, run)
    made, claim = again(run, value.get("result"))
    return Verdict("scores", [*checks, claim], NEEDED, made, run)


def again(run: Run, claim: Any) -> tuple[dict[str, Any] | None, Check]:
    """The result made from the predictions alone, and whether the claim is the same."""
    try:
        with warnings.catch_warnings():  # absent classes stand in the result
            warnings.simplefilter("ignore", MerzooWarning)
            made = result(run)
    except MerzooError as error:
        return None, Check(CLAIM, "failed", str(error))
    found = [*differences(claim, made)] if isinstance(claim, Mapping) else ["there is no claim"]
    metric, best = next(iter(made["scores"].items()))
    told = f"made again from {made['tested']['samples']} clips and equal, {metric} {best['value']:.3f} [{best['low']:.3f}, {best['high']:.3f}] among them"
    return made, verdict(CLAIM, found, told, "numbers are not what its predictions give")


def starting(run: Run, desk: Desk) -> Check:
    """The weights that a run began from are those of its model's plugin, and were trained on nobody whom it tests."""
    weights, model = run.facts.get("weights"), desk.model(str(run.facts["model"]))
    if not weights:
        return Check(START, "passed", "it began from random weights")
    tag = plain(weights["tag"], 80)
    if isinstance(model, str):
        return Check(START, "not checked", f"it began from '{tag}', and {plain(model, 200)}")
    spec = next((spec for spec in model.weights if spec.tag == weights["tag"]), None)
    if spec is None:
        told = f"it began from '{tag}', which is none of the weights that {model.name} comes with"
        return Check(START, "not checked", f"{told}: whom they were trained on is not known")
    found = []
    if spec.sha256 != weights["sha256"]:
        found.append(f"'{tag}' hashes to {plain(weights['sha256'][:12])}… in the run, to {spec.sha256[:12]}… in the plugin")
    people = frozenset(spec.trained_on.get("subjects", ()))
    if not people:
        found.append(f"the plugin does not say on whom '{tag}' was trained")
    if met := sorted(people & run.test_subjects):
        found.append(f"'{tag}' was trained on {', '.join(met[:5])}, who are tested")
    return verdict(START, found, f"'{tag}' is the plugin's ({spec.sha256[:12]}…), trained on nobody who is tested", "things are wrong with what it began from")


def _data(value: Mapping[str, Any], desk: Desk, path: Path) -> tuple[Truth | None, Check]:
    """The data set of a file, if it is here and the very same."""
    data = value.get("data")
    try:
        check_data(data, f"{path}: data", REMEDY)
    except MerzooError as error:
        return None, Check(DATA, "failed", str(error))
    assert isinstance(data, Mapping)
    name = plain(f"{data['name']}:{data['part']}" if data.get("part") else data["name"], 80)
    truth = desk.truth(data)
    if isinstance(truth, str):
        return None, Check(DATA, "not checked", truth)
    if truth.manifest_hash != data["manifest_hash"]:
        said = plain(data["manifest_hash"][:12])
        return None, Check(DATA, "failed", f"{name} here has the manifest {truth.manifest_hash[:12]}…, the file was made on {said}…; {HINT}")
    return truth, Check(DATA, "passed", f"{name} is here, and its manifest {truth.manifest_hash[:12]}… is the file's")


def _told_twice(value: Mapping[str, Any], run: PackedRun) -> Check:
    """What the file says of model, machine and data is what its run says."""
    twice = {**{name: (value.get(name), run.facts.get(name)) for name in SHARED}, "kind": ("evaluation", run.facts["kind"])}
    data, facts = value["data"] if isinstance(value.get("data"), Mapping) else {}, run.facts["data"]
    twice |= {f"data.{name}": (data.get(name), facts.get(name)) for name in ("name", "part", "macro", "manifest_hash", "samples", "subjects")}
    twice["options"] = (value.get("options"), run.facts.get("options", {}))
    found = [line for name, (said, told) in twice.items() for line in differences(said, told, name, by="in its run")]
    if share := run.facts.get("flip_labels"):
        found.append(f"a share of {share:g} of its training labels was flipped, which is an experiment and no score")
    return verdict("run", found, "the run is that of the file, and no experiment", "things differ between the file and its run")
