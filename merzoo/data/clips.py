"""Clips as training sees them: rows of a table with their frames, views of them as tensors, and the guard against test subjects."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from merzoo.data.sending import sent
from merzoo.data.store import ClipStore, open_store
from merzoo.data.table import Dataset, Task, checked, labels_of
from merzoo.data.viewstore import ViewFile, view_key
from merzoo.errors import DataError, LeakageError, UsageError
from merzoo.interval import Interval
from merzoo.making import make_view
from merzoo.specs import Preprocessing, View
from merzoo.views.base import ViewKind

KEPT_BYTES = 2 * 2**30  # of all prepared views of a data set; our choice: frame pairs of any micro-expression set fit, a large macro corpus does not


@dataclass(frozen=True)
class IntervalJitter:
    """Other readings of an annotated interval, as an annotator might have set them: start and peak move by shares of (peak − start), drawn uniformly.

    variants: how many readings there are of each clip, the annotated one first.
    """

    start: tuple[float, float] = (-0.12, 0.12)
    peak: tuple[float, float] = (-0.18, 0.18)
    variants: int = 4

    def __post_init__(self) -> None:
        for name in ("start", "peak"):
            limits = tuple(getattr(self, name))  # a list where the options came from JSON; this must be hashable
            if len(limits) != 2 or not limits[0] <= limits[1]:
                raise UsageError(f"interval jitter: {name} must be two shares [a, b] with a <= b, not {list(limits)}")
            object.__setattr__(self, name, limits)
        if not isinstance(self.variants, int) or self.variants < 1:
            raise UsageError(f"interval jitter: variants must be a whole number of at least 1, not {self.variants!r}")

    def readings(self, interval: Interval, frames: int, rng: np.random.Generator) -> list[Interval]:
        """The readings of one interval in a clip of `frames` frames; start stays before peak."""
        out = [interval]
        length = interval.peak - interval.start
        for _ in range(self.variants - 1):
            start = int(np.clip(round(interval.start + length * rng.uniform(*self.start)), 0, max(0, interval.peak - 1)))
            peak = int(np.clip(round(interval.peak + length * rng.uniform(*self.peak)), min(start + 1, frames - 1), frames - 1))
            out.append(Interval(start, peak, max(peak, interval.stop)))
        return out


_Key = tuple[str, str, IntervalJitter | None, str]  # view, kind of clip, jitter, device


class ClipData:
    """A data set under one preprocessing: its table, the stores of its sources, and views of its clips.

    Views are prepared once and kept for all folds, while they fit into `KEPT_BYTES`; beyond, those of the clips asked for are made anew from the stores.
    Views that are kept and `costly` are computed once for all processes and later runs: they lie beside the stores (`merzoo.data.viewstore`).
    """

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> None:
        self.dataset, self.preprocessing = dataset, preprocessing
        self.labels = tuple(dataset.labels)
        self.task = dataset.task
        self.table = checked(dataset.table(), self.labels, self.task)
        stores = [open_store(source, preprocessing, jobs=jobs, progress=progress) for source in dataset.sources]
        self._ids = [str(sample) for sample in self.table["sample_id"]]
        self._stores = [_store_of(sample, int(frames), stores, dataset.name) for sample, frames in zip(self._ids, self.table["frames"], strict=True)]
        self.drawn: set[int] = set()  # rows that somebody has looked at since this was last emptied
        self.reads = 0  # clips whose frames were asked for: what a batch took longer for than to pick from views that are kept
        self._kinds: dict[str, ViewKind] = {}
        self._prepared: dict[_Key, Tensor] = {}
        self._streamed: set[_Key] = set()
        self._lock = threading.RLock()  # batches may be drawn in a thread of their own
        self._moments = self.table[["start", "peak", "stop"]].to_numpy(dtype=np.int64)
        label_of = {label: i for i, label in enumerate(self.labels)} if self.task == "classes" else {}  # one label of several is no class
        self.label_index = np.array([label_of.get(e, -1) for e in self.table["emotion"]], dtype=np.int64)
        self.targets = _targets(self.table["emotion"].to_list(), self.labels, self.task)

    def frames(self, row: int) -> np.ndarray:
        """All frames of a row's clip, uint8 [T, size, size, 3], without a copy."""
        self.reads += 1
        return self._stores[row].clip(self._ids[row])

    @property
    def folders(self) -> list[Path]:
        """Where the stores lie."""
        return list(dict.fromkeys(store.folder for store in self._stores))

    def rows(self, kind: str) -> np.ndarray:
        """Row numbers of the micro or macro clips."""
        return np.flatnonzero((self.table["kind"] == kind).to_numpy())

    def check_drawn(self, test_subjects: Iterable[str], where: str) -> None:
        """Raise `LeakageError` if a clip of a test subject was looked at."""
        met = frozenset(self.table["subject"].to_numpy()[sorted(self.drawn)]) & frozenset(test_subjects)
        if met:
            raise LeakageError(where, met)

    def interval(self, row: int) -> Interval:
        """The annotated interval of a row."""
        start, peak, stop = self._moments[row].tolist()
        return Interval(start, peak, stop)

    def view_kind(self, view: View) -> ViewKind:
        """The view kind behind a spec, built once."""
        key = _view_key(view)
        if key not in self._kinds:
            self._kinds[key] = make_view(view)
        return self._kinds[key]

    def prepared(self, view: View, kind: str, jitter: IntervalJitter | None, device: torch.device) -> Tensor:
        """The view of all micro (or macro) clips under each reading of their interval: [clips, variants, ...], on the device, and kept there.

        Raises `DataError` where the data set has no clip of that kind.
        """
        key = self._key(view, kind, jitter, device)
        with self._lock:
            if key not in self._prepared:
                self._prepared[key] = torch.from_numpy(self._arrays(view, self._of_kind(kind), key[2])).to(device)
            return self._prepared[key]

    def _arrays(self, view: View, rows: Sequence[int], jitter: IntervalJitter | None) -> np.ndarray:
        def make() -> np.ndarray:
            return np.stack([self._readings(view, row, jitter) for row in rows])

        return self._file(view, rows, jitter).arrays(make) if self.view_kind(view).costly else make()

    def _file(self, view: View, rows: Sequence[int], jitter: IntervalJitter | None) -> ViewFile:
        """Where a costly view of these rows is kept."""
        kind, keys = self.view_kind(view), {self._stores[row].key for row in rows}
        return ViewFile(view_key(list(keys), _view_key(view), kind, [(self._ids[row], self._intervals(kind, row, jitter)) for row in rows]))

    def select(self, view: View, kind: str, jitter: IntervalJitter | None, positions: np.ndarray, variant: np.ndarray, device: torch.device) -> Tensor:
        """The view of the clips of a kind at `positions` [B], each under its reading `variant` [B] (0: as annotated): [B, ...], on the device."""
        if self._keeps(view, kind, jitter, device):
            arrays = self.prepared(view, kind, jitter, device)
            reading = variant if arrays.shape[1] > 1 else np.zeros_like(variant)
            return arrays[sent(torch.from_numpy(positions), device), sent(torch.from_numpy(reading), device)]
        rows = self.rows(kind)[positions]
        made = [self._readings(view, int(row), jitter, int(reading))[0] for row, reading in zip(rows, variant, strict=True)]
        return sent(torch.from_numpy(np.stack(made)), device)

    def _key(self, view: View, kind: str, jitter: IntervalJitter | None, device: torch.device) -> _Key:
        return _view_key(view), kind, jitter if self.view_kind(view).jitter_invalidates else None, str(device)

    def _of_kind(self, kind: str) -> list[int]:
        rows: list[int] = self.rows(kind).tolist()
        if not rows:
            raise DataError(f"data set {self.dataset.name} has no {kind} clips; choose a data set or part that has")
        return rows

    def _keeps(self, view: View, kind: str, jitter: IntervalJitter | None, device: torch.device) -> bool:
        """Whether a view of all clips of a kind is kept, as decided when it is first asked for by the size of one."""
        key = self._key(view, kind, jitter, device)
        with self._lock:
            if key not in self._prepared and key not in self._streamed:
                rows = self._of_kind(kind)
                there = self._file(view, rows, key[2]).nbytes() if self.view_kind(view).costly else None
                wanted = len(rows) * self._readings(view, rows[0], key[2]).nbytes if there is None else there
                if wanted > KEPT_BYTES - sum(kept.nbytes for kept in self._prepared.values()):
                    self._streamed.add(key)
            return key not in self._streamed

    def _readings(self, view: View, row: int, jitter: IntervalJitter | None, only: int | None = None) -> np.ndarray:
        """The view of a clip under each reading of its interval, or under one of them: [variants or 1, ...]."""
        how, frames = self.view_kind(view), self.frames(row)
        readings = self._intervals(how, row, jitter)
        chosen = readings if only is None or len(readings) == 1 else readings[only : only + 1]
        return np.stack([how.prepare(frames, reading) for reading in chosen])

    def _intervals(self, how: ViewKind, row: int, jitter: IntervalJitter | None) -> list[Interval]:
        """The readings of a row's interval that a view is prepared under: one, where jitter does not touch it."""
        interval = self.interval(row)
        if jitter is None or not how.jitter_invalidates:
            return [interval]
        # Seeded by the sample, so that a clip's readings do not depend on which clips stand beside it.
        return jitter.readings(interval, self._stores[row].frames(self._ids[row]), np.random.default_rng(list(self._ids[row].encode())))


def _store_of(sample: str, frames: int, stores: Sequence[ClipStore], name: str) -> ClipStore:
    """The one store that has this clip. Raises `DataError` where none or two have it, or its frames are not as many as the table says."""
    having = [store for store in stores if sample in store]
    if len(having) != 1:
        raise DataError(f"data set {name}: clip '{sample}' of its table is in {len(having)} of its {len(stores)} sources, not in one; mend the data set")
    if having[0].frames(sample) != frames:
        raise DataError(f"data set {name}: clip '{sample}' has {frames} frames in its table and {having[0].frames(sample)} in its source; mend the data set")
    return having[0]


def _targets(emotions: Sequence[object], labels: tuple[str, ...], task: Task) -> np.ndarray:
    """float32 [rows, C]: 1 where a row has a label, else 0; a row that nobody labelled is NaN throughout."""
    rows = np.full((len(emotions), len(labels)), np.nan, np.float32)
    for row, emotion in zip(rows, emotions, strict=True):
        mine = labels_of(emotion) if isinstance(emotion, str) else ("",)
        if set(mine) <= set(labels) and (mine or task == "multi-label"):
            row[:] = [label in mine for label in labels]
    return rows


def _view_key(view: View) -> str:
    return json.dumps([view.kind, dict(view.options)], sort_keys=True)


class Clips:
    """Some clips of one kind. `forbidden` subjects can not get in, and no selection made from these clips can let them in: raises `LeakageError`."""

    def __init__(self, data: ClipData, kind: str, positions: np.ndarray | None = None, forbidden: Iterable[str] = ()) -> None:
        self.data, self.kind = data, kind
        self._all = data.rows(kind)
        self.positions = np.arange(len(self._all)) if positions is None else np.array(positions, dtype=np.int64)
        self.positions.setflags(write=False)  # or somebody who was kept out could be written in
        self.forbidden = frozenset(forbidden)
        self.check(self.forbidden, f"{kind} clips")

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def rows(self) -> np.ndarray:
        """Row numbers in the table."""
        return self._all[self.positions]

    @property
    def subjects(self) -> frozenset[str]:
        """Qualified ids of the subjects here."""
        return frozenset(self.data.table["subject"].to_numpy()[self.rows])

    @property
    def subject_of(self) -> np.ndarray:
        """Subject of each clip."""
        return self.data.table["subject"].to_numpy()[self.rows]

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids, in order."""
        return [str(s) for s in self.data.table["sample_id"].to_numpy()[self.rows]]

    @property
    def labels(self) -> np.ndarray:
        """Class index of each clip, int64; −1 where it has no label, and throughout in a multi-label data set."""
        return self.data.label_index[self.rows]

    @property
    def targets(self) -> np.ndarray:
        """float32 [clips, C]: 1 where a clip has a label, else 0; NaN where nobody labelled it. One label a clip in a data set of classes."""
        return self.data.targets[self.rows]

    def check(self, test_subjects: Iterable[str], where: str) -> None:
        """Raise `LeakageError` if a test subject is among these clips."""
        met = self.subjects & frozenset(test_subjects)
        if met:
            raise LeakageError(where, met)

    def where(self, mask: np.ndarray) -> Clips:
        """The clips for which `mask` (bool [len]) is true, under the same guard. Raises `UsageError` for anything but such a mask, positions above all."""
        mask = np.asarray(mask)
        if mask.shape != self.positions.shape or (mask.dtype != bool and mask.size):
            raise UsageError(f"a mask of clips must be {len(self)} true or false values, not {mask.dtype} {list(mask.shape)}")
        return Clips(self.data, self.kind, self.positions[mask.astype(bool)], self.forbidden)

    def without(self, subjects: Iterable[str]) -> Clips:
        """The clips of everybody else, guarded against these subjects from here on."""
        subjects = frozenset(subjects)
        keep = np.array([s not in subjects for s in self.subject_of], dtype=bool)
        return Clips(self.data, self.kind, self.positions[keep], self.forbidden | subjects)

    def frames(self, at: int) -> np.ndarray:
        """All frames of the clip at position `at`, uint8 [T, size, size, 3], without a copy."""
        row = int(self.rows[at])
        self.data.drawn.add(row)
        return self.data.frames(row)

    def interval(self, at: int) -> Interval:
        """Annotated interval of the clip at position `at`."""
        return self.data.interval(int(self.rows[at]))

    def stored(
        self, views: Mapping[str, View], at: Tensor, device: torch.device, jitter: IntervalJitter | None = None, variant: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Stored arrays of the clips at positions `at` [B], {input: [B, ...]}, each under its reading `variant` [B] (0: as annotated)."""
        chosen = self.positions[at.cpu().numpy()]
        self.data.drawn.update(self._all[chosen].tolist())
        reading = np.zeros_like(chosen) if variant is None else variant.cpu().numpy()
        return {name: self.data.select(view, self.kind, jitter, chosen, reading, device) for name, view in views.items()}
