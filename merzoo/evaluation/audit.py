"""Whether a run's score can be believed: who met whom in training, what was learned from test clips, and what a choice on the test data would have claimed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from merzoo.data.people import same_people, shared_subjects
from merzoo.errors import LeakageError, RunError
from merzoo.evaluation.audit_data import data_checks
from merzoo.evaluation.checks import Check, verdict
from merzoo.evaluation.oracle import oracle
from merzoo.evaluation.records import ChosenEpochError
from merzoo.evaluation.results import estimates, pooled
from merzoo.evaluation.run import Run

if TYPE_CHECKING:
    from merzoo.data.table import Dataset

TRIED = {"state_unchanged": "testing changed the network's state", "batch_independent": "predictions depend on what is tested beside"}


def audit(run: Run, dataset: Dataset | None = None, why_no_data: str = "the data set was not opened") -> dict[str, Any]:
    """{"run", "model", "protocol", "checks": [{name, status, text, found}], "scores", "oracle" (null without `evaluate --audit`), "passed": no check failed}.

    Everything is told from the fold records; with `dataset`, the one the run was made on, its labels and folds are compared with the run's, and its clips with
    one another, as well. Raises `RunError` for a run without a finished fold.
    """
    from merzoo.evaluation.bootstrap import bootstrap

    records, faults = read_records(run)
    if not records and not any(faults.values()):
        raise RunError(f"{run.path} has no finished fold to audit; continue it with --resume")
    *told, epochs = record_checks(run, records, faults)
    checks = [*told, *data_checks(run, records, dataset, why_no_data), epochs]
    pool = pooled(run.path, run.labels, run.task, run.protocol, records) if records else None
    return {
        "run": str(run.path),
        "model": run.facts["model"],
        "protocol": run.protocol.name,
        "checks": [asdict(check) for check in checks],
        "scores": None if pool is None else estimates(bootstrap(pool)),
        "oracle": None if pool is None else oracle(pool, records),
        "passed": all(check.status != "failed" for check in checks),
    }


def record_checks(run: Run, records: list[dict[str, Any]], faults: dict[str, list[str]]) -> list[Check]:
    """What the fold records themselves tell. records, faults: of `read_records`."""
    return [
        _folds(run, len(records), faults["broken"]),
        verdict("test subjects in training", faults["leak"], "no stage of any fold met a test subject", "stages met a test subject"),
        _people(records),
        _statistics(records),
        _epochs(records, faults["epoch"]),
    ]


def read_records(run: Run) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """The folds that are as they should be, and what is wrong with the others, by kind of fault."""
    records: list[dict[str, Any]] = []
    faults: dict[str, list[str]] = {"leak": [], "epoch": [], "broken": []}
    for seed in run.seeds:
        for fold in run.protocol.folds:
            if run.has_fold(seed, fold.fold_id):
                try:
                    records.append(run.read_fold(seed, fold.fold_id))
                except LeakageError as error:
                    faults["leak"].append(str(error))
                except ChosenEpochError as error:
                    faults["epoch"].append(str(error))
                except RunError as error:
                    faults["broken"].append(str(error))
    return records, faults


def _folds(run: Run, sound: int, broken: list[str]) -> Check:
    """All folds that were asked for are there, can be read, and no others."""
    expected, missing = len(run.seeds) * len(run.protocol.folds), len(run.missing())
    found = [*broken, *(f"{file} is a fold that this run's protocol and seeds do not have" for file in run.stray())]
    if missing:
        found.insert(0, f"unfinished: {expected - missing} of {expected} folds are there; continue it with --resume")
    return verdict("folds", found, f"{sound} of {expected} folds are there and as they should be", "things are wrong with the folds")


def _people(records: list[dict[str, Any]]) -> Check:
    """Test subjects who were trained on under another name, as far as such pairs are declared."""
    pairs = shared_subjects()
    same = same_people(pairs)
    found = []
    for record in records if same else ():
        tested = set(record["test_subjects"])
        for stage in record["stages"]:
            for subject in stage["subjects"]:
                if met := (same.get(subject, frozenset()) & tested) - {subject}:
                    found.append(f"fold {record['fold_id']}, stage {stage['name']}: {subject} is {', '.join(sorted(met))}")
    passed = f"no test subject was met under another name ({len(pairs)} pairs are declared)"
    return verdict("people in two data sets", found, passed, "stages met a test subject under another name")


def _statistics(records: list[dict[str, Any]]) -> Check:
    """What `evaluate --audit` tried on every fold: testing changes no weight or statistic, and a clip's prediction does not depend on its company."""
    name = "statistics of test data"
    known = [record for record in records if record.get("checks")]
    found = []
    for record in known:
        for key, text in TRIED.items():
            if record["checks"].get(key) is not True:
                found.append(f"fold {record['fold_id']}, seed {record['seed']}: {text if key in record['checks'] else f'{key} was not tried'}")
    if not found and (len(known) < len(records) or not records):
        return Check(name, "not checked", "made without --audit: what testing does to the network was not tried")
    passed = "testing changed nothing, and each clip is predicted the same alone and in company"
    return verdict(name, found, passed, "signs that folds learn from what they test")


def _epochs(records: list[dict[str, Any]], chosen: list[str]) -> Check:
    """The predictions are those of the last epoch, where the epochs were kept; reading a fold compares them."""
    name, kept = "choice of the epoch", sum(bool(record.get("oracle")) for record in records)
    if not chosen and not kept:
        return Check(name, "not checked", "made without --audit: no epochs were kept")
    if not chosen and kept < len(records):
        return Check(name, "not checked", f"{len(records) - kept} of {len(records)} folds kept no epochs")
    passed = f"in {kept} folds the last epoch counts; what a choice on the test data would have claimed stands below"
    return verdict(name, chosen, passed, "folds count another epoch than their last")
