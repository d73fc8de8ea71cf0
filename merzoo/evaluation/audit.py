"""Whether a run's score can be believed: who met whom in training, what was learned from test clips, and what a choice on the test data would have claimed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from merzoo.data.people import same_people, shared_subjects
from merzoo.errors import LeakageError, MerzooError, RunError
from merzoo.evaluation.oracle import oracle
from merzoo.evaluation.protocols import Fold
from merzoo.evaluation.results import estimates, pooled
from merzoo.evaluation.runs import RunFolder
from merzoo.specs import Preprocessing

if TYPE_CHECKING:
    from merzoo.data.table import Dataset

Status = Literal["passed", "failed", "not checked"]
SHOWN = 20  # examples kept of each kind of finding


@dataclass(frozen=True)
class Check:
    """One question and its answer. found: up to 20 examples of what is wrong."""

    name: str
    status: Status
    text: str
    found: list[str] = field(default_factory=list)


def audit(run: RunFolder, dataset: Dataset | None = None, why_no_data: str = "the data set was not opened") -> dict[str, Any]:
    """{"run", "model", "checks": [{name, status, text, found}], "scores", "oracle" (null without `evaluate --audit`), "passed": no check failed}.

    Everything is told from the fold records; with `dataset`, the one the run was made on, its clips are compared for near duplicates as well.
    Raises `RunError` for a run without a finished fold.
    """
    from merzoo.evaluation.bootstrap import bootstrap

    records, checks = [], []
    faults: dict[str, list[str]] = {"leak": [], "broken": []}
    for seed in run.seeds:
        for fold in run.protocol.folds:
            if run.has_fold(seed, fold.fold_id):
                try:
                    records.append(run.read_fold(seed, fold.fold_id))
                except LeakageError as error:
                    faults["leak"].append(str(error))
                except RunError as error:
                    faults["broken"].append(str(error))
    if not records and not any(faults.values()):
        raise RunError(f"{run.path} has no finished fold to audit; continue it with --resume")
    expected = len(run.seeds) * len(run.protocol.folds)
    checks.append(_verdict("folds", faults["broken"], f"{len(records)} of {expected} folds are there and as they should be", "folds cannot be read"))
    checks.append(_verdict("test subjects in training", faults["leak"], "no stage of any fold met a test subject", "stages met a test subject"))
    checks.append(_people(run, records))
    checks.append(_statistics(records))
    checks.append(_duplicates(run, dataset, why_no_data))
    found = oracle(pool, records) if records and (pool := pooled(run.path, run.labels, run.task, run.protocol, records)) else None
    text = "the last epoch counts; what a choice on the test data would have claimed stands below" if found else "made without --audit: no epochs were kept"
    checks.append(Check("choice of the epoch", "passed" if found else "not checked", text))
    return {
        "run": str(run.path),
        "model": run.facts["model"],
        "protocol": run.protocol.name,
        "checks": [asdict(check) for check in checks],
        "scores": estimates(bootstrap(pool)) if records else None,
        "oracle": found,
        "passed": all(check.status != "failed" for check in checks),
    }


def _verdict(name: str, found: list[str], passed: str, failed: str) -> Check:
    if found:
        return Check(name, "failed", f"{len(found)} {failed}", found[:SHOWN])
    return Check(name, "passed", passed)


def _people(run: RunFolder, records: list[dict[str, Any]]) -> Check:
    """Test subjects who were trained on under another name, as far as such pairs are declared."""
    pairs = shared_subjects()
    same = same_people(pairs)
    found = []
    for record in records:
        tested = set(record["test_subjects"])
        for stage in record["stages"]:
            for subject in stage["subjects"]:
                if met := (same.get(subject, frozenset()) & tested) - {subject}:
                    found.append(f"fold {record['fold_id']}, stage {stage['name']}: {subject} is {', '.join(sorted(met))}")
    passed = f"no test subject was met under another name ({len(pairs)} pairs are declared)"
    return _verdict("people in two data sets", found, passed, "stages met a test subject under another name")


def _statistics(records: list[dict[str, Any]]) -> Check:
    """What `evaluate --audit` tried on every fold: testing changes no weight or statistic, and a clip's prediction does not depend on its company."""
    name = "statistics of test data"
    known = [record for record in records if record.get("checks")]
    if len(known) < len(records) or not records:
        return Check(name, "not checked", "made without --audit: what testing does to the network was not tried")
    told = {"state_unchanged": "testing changed the network's state", "batch_independent": "predictions depend on what is tested beside"}
    found = [f"fold {r['fold_id']}, seed {r['seed']}: {text}" for r in known for key, text in told.items() if r["checks"].get(key) is False]
    return _verdict(name, found, "testing changed nothing, and each clip is predicted the same alone and in company", "folds learn from what they test")


def _duplicates(run: RunFolder, dataset: Dataset | None, why: str) -> Check:
    name = "near-duplicate clips across folds"
    if dataset is None:
        return Check(name, "not checked", why)
    if dataset.manifest_hash != run.facts["data"]["manifest_hash"]:
        return Check(name, "not checked", "the data set here is not the one of the run (its manifest differs)")
    try:
        found = [*_pairs(run, dataset)]
    except MerzooError as error:
        return Check(name, "not checked", str(error))
    passed = "no clip looks like a copy of one that its fold could train on"
    return _verdict(name, found, passed, "pairs of clips look like copies, one tested and one trained on")


def _pairs(run: RunFolder, dataset: Dataset) -> Iterator[str]:
    from merzoo.data.clips import ClipData
    from merzoo.data.duplicates import near_duplicates, signatures

    sizes = run.facts.get("options", {}).get("preprocessing", {})
    data = ClipData(dataset, Preprocessing(str(sizes.get("aligner", "eyes")), int(sizes.get("size", 128))))
    table = data.table
    subjects, ids = table["subject"].to_numpy(), table["sample_id"].to_numpy()
    tested_in: dict[str, list[Fold]] = {}
    for fold in run.protocol.folds:
        for sample in fold.test_ids:
            tested_in.setdefault(sample, []).append(fold)
    for pair in near_duplicates(signatures(data, range(len(table))), subjects):
        for one, other in ((pair.a, pair.b), (pair.b, pair.a)):
            folds = [f for f in tested_in.get(str(ids[one]), ()) if _trains(f, str(ids[other]), str(subjects[other]))]
            if folds:
                yield f"{ids[one]} (tested in fold {folds[0].fold_id}) and {ids[other]}: frames {pair.appearance:.3f}, movement {pair.movement:.3f} alike"
                break


def _trains(fold: Fold, sample: str, subject: str) -> bool:
    """Whether a fold could have trained on a clip."""
    return subject not in fold.test_subjects and (fold.train_ids is None or sample in fold.train_ids)


def open_data(run: RunFolder, roots: Mapping[str, Path]) -> tuple[Dataset | None, str]:
    """The data set a run was made on, or None and why not."""
    from merzoo.data.sources import open_dataset

    data = run.facts["data"]
    name = f"{data['name']}:{data['part']}" if data["part"] else data["name"]
    try:
        return open_dataset(name, roots=dict(roots), macro=data.get("macro")), ""
    except MerzooError as error:
        return None, f"{name} cannot be opened here: {error}"
