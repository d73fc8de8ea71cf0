"""What an audit asks of the data themselves: whether the run told their labels and folds as they are, and whether clips are copies of one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.errors import MerzooError, RunError, UsageError
from merzoo.evaluation.catalogue import FILE, hashes_of_built_in
from merzoo.evaluation.checks import Check, verdict
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.records import is_count
from merzoo.evaluation.results import names_of
from merzoo.evaluation.run import Run
from merzoo.specs import Preprocessing

if TYPE_CHECKING:
    import pandas as pd

    from merzoo.data.table import Dataset

LABELS, FOLDS, COPIES = "labels of the run", "folds of the protocol", "near-duplicate clips across folds"
HINT = "give --root DIR, or --root clips.csv and --remap FILE for data of your own, and --skip FILE, as the run had them"
SIDES = range(8, 1025)  # px of a crop, beyond which a run.json is not believed


@dataclass(frozen=True)
class Truth:
    """What a data set says of its clips, asked once for any number of runs."""

    dataset: Dataset
    table: pd.DataFrame
    manifest_hash: str
    _clips: dict[str, dict[str, tuple[str, str | None]]] = field(default_factory=dict)
    _folds: dict[tuple[str, str], tuple[str, ...] | MerzooError | None] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset) -> Truth:
        """Raises `MerzooError` where its table cannot be read."""
        return cls(dataset, dataset.table(), dataset.manifest_hash)

    def clips(self, kind: str) -> dict[str, tuple[str, str | None]]:
        """sample id -> subject and emotion (None: not known) of the clips of a kind."""
        if kind not in self._clips:
            rows = self.table[self.table["kind"] == kind]
            self._clips[kind] = {
                str(sample): (str(subject), emotion if isinstance(emotion, str) else None)
                for sample, subject, emotion in zip(rows["sample_id"], rows["subject"], rows["emotion"], strict=True)
            }
        return self._clips[kind]

    def is_built_in(self, protocol: Protocol, task: str) -> bool | None:
        """As `merzoo.evaluation.catalogue.is_built_in`."""
        key = (protocol.name, task)
        if key not in self._folds:
            try:
                self._folds[key] = hashes_of_built_in(protocol.name, self.table, task)
            except MerzooError as error:
                self._folds[key] = error
        found = self._folds[key]
        if isinstance(found, MerzooError):
            raise found
        return None if found is None else protocol.hash in found


def data_checks(run: Run, records: Iterable[Mapping[str, Any]], dataset: Dataset | None, why: str) -> Iterator[Check]:
    """The checks that need the data set; each is "not checked" with the reason where it is not here (None, `why`), or is not the one of the run."""
    truth = None
    if dataset is not None:
        try:
            truth = Truth.of(dataset)
            if truth.manifest_hash != run.facts["data"]["manifest_hash"]:
                truth, why = None, f"the data set here is not the one of the run (its manifest differs); {HINT}"
        except MerzooError as error:
            why = str(error)
    if dataset is None or truth is None:
        yield from (Check(name, "not checked", why) for name in (LABELS, FOLDS, COPIES))
        return
    yield labels_check(run, records, truth)
    yield folds_check(run, truth)
    yield _duplicates(run, dataset)


def labels_check(run: Run, records: Iterable[Mapping[str, Any]], truth: Truth) -> Check:
    """Truth is the data set's: every tested clip is one of its own, under its subject and its label."""
    found = []
    dataset, clips = truth.dataset, truth.clips(run.protocol.kind)
    if (list(run.labels), run.task) != (list(dataset.labels), dataset.task):
        found.append(f"classes {', '.join(run.labels)} ({run.task}); the data set has {', '.join(dataset.labels)} ({dataset.task})")
    said = {(p["sample_id"], p["subject"], p["label"]) for record in records for p in record["predictions"]}
    for sample, subject, label in sorted(said):
        if sample not in clips:
            found.append(f"{sample}: the data set has no {run.protocol.kind} clip of that name")
            continue
        real, emotion = clips[sample]
        if subject != real:
            found.append(f"{sample}: of {subject} in the run, of {real} in the data set")
        if emotion is None or names_of(label, run.task) != names_of(emotion, run.task):
            found.append(f"{sample}: {label or 'no label'} in the run, {emotion or 'no label'} in the data set")
    passed = f"subject and label of {len({sample for sample, _, _ in said})} tested clips are those of the data set"
    return verdict(LABELS, found, passed, "differences from the data set")


def folds_check(run: Run, truth: Truth) -> Check:
    """A protocol is what its name says."""
    name = run.protocol.name
    if name.startswith(FILE):
        return Check(FOLDS, "not checked", f"{name} was read from a file; what it tests is all that is known of it")
    try:
        same = truth.is_built_in(run.protocol, run.task)
    except MerzooError as error:
        return Check(FOLDS, "failed", f"{name} cannot be made of this data set: {error}")
    if same is None:
        return Check(FOLDS, "failed", f"no protocol is called {name}; one that was read from a file is called {FILE}{name}")
    return Check(FOLDS, "passed" if same else "failed", f"made again from the data set, {name} has {'the same' if same else 'other'} folds")


def _duplicates(run: Run, dataset: Dataset) -> Check:
    try:
        found = [*_pairs(run, dataset)]
    except MerzooError as error:
        return Check(COPIES, "not checked", str(error))
    passed = "no clip looks like a copy of one that its fold could train on"
    return verdict(COPIES, found, passed, "pairs of clips look like copies, one tested and one trained on")


def _pairs(run: Run, dataset: Dataset) -> Iterator[str]:
    from merzoo.data.clips import ClipData
    from merzoo.data.duplicates import near_duplicates, signatures

    data = ClipData(dataset, _preprocessing(run))
    table = data.table
    subjects, ids, kinds = (table[column].to_numpy() for column in ("subject", "sample_id", "kind"))
    tested_in: dict[str, list[Fold]] = {}
    for fold in run.protocol.folds:
        for sample in fold.test_ids:
            tested_in.setdefault(sample, []).append(fold)
    for pair in near_duplicates(signatures(data, range(len(table))), subjects):
        for one, other in ((pair.a, pair.b), (pair.b, pair.a)):
            meets = (str(ids[other]), str(subjects[other]), str(kinds[other]))
            folds = [fold for fold in tested_in.get(str(ids[one]), ()) if trains(fold, run.protocol.kind, *meets)]
            if folds:
                yield f"{ids[one]} (tested in fold {folds[0].fold_id}) and {ids[other]}: frames {pair.appearance:.3f}, movement {pair.movement:.3f} alike"
                break


def trains(fold: Fold, labelled: str, sample: str, subject: str, kind: str) -> bool:
    """Whether a fold could have trained on a clip. labelled: the kind of clips that the protocol tests, to which a fold's training list applies; beside
    micro-expressions, macro clips may be met in a pretext."""
    if subject in fold.test_subjects:
        return False
    if kind == labelled:
        return fold.train_ids is None or sample in fold.train_ids
    return kind == "macro"


def _preprocessing(run: Run) -> Preprocessing:
    """The crops that the run was made on; the defaults where run.json does not say. Raises `RunError` for what is no preprocessing."""
    options: Any = run.facts.get("options", {})
    said: Any = options.get("preprocessing", {}) if isinstance(options, Mapping) else None
    if isinstance(said, Mapping):
        aligner, size = said.get("aligner", "eyes"), said.get("size", 128)
        if isinstance(aligner, str) and is_count(size) and size in SIDES:
            return Preprocessing(aligner, size)
    raise RunError(f"{run.path / 'run.json'}: options.preprocessing is not {{aligner, size}}, so its crops cannot be made; restore the file")


def open_data(run: Run, roots: Mapping[str, Path], *, remap: Path | None = None, skip: Path | None = None) -> tuple[Dataset | None, str]:
    """The data set a run was made on, or None and why not. roots, remap, skip: as `open_dataset` takes them; where clips of one's own lie, a run does not say.

    Raises `UsageError` where what was given does not fit the run's data set.
    """
    return open_named(run.facts["data"], roots, remap=remap, skip=skip)


def open_named(data: Mapping[str, Any], roots: Mapping[str, Path], *, remap: Path | None = None, skip: Path | None = None) -> tuple[Dataset | None, str]:
    """As `open_data`, by what run.json says of the data, checked: {name, part, macro}."""
    from merzoo.data.sources import open_dataset, parse

    name = f"{data['name']}:{data['part']}" if data["part"] else data["name"]
    if parse(name)[2] is not None or (data.get("macro") and parse(data["macro"])[2] is not None):
        return None, f"{name} is a path and no data set; a run of clips of one's own calls them csv"  # of a stranger's run.json: not to be opened
    try:
        return open_dataset(name, roots=dict(roots), remap=remap, macro=data.get("macro"), skip=skip), ""
    except MerzooError as error:
        if isinstance(error, UsageError) and (roots or remap or skip):
            raise
        return None, f"{name} cannot be opened here: {error}; {HINT}"
