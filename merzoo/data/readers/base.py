"""A data set on disk: a reader fills a `Reading`; a part labels and selects its clips; the frames are one source whatever the part."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from merzoo.data.readers.crops import Picked, Release, face_crops
from merzoo.data.readers.labels import AUS, CROSS_AUS, exclusions, label_sets
from merzoo.data.readers.reading import Reading, Recording
from merzoo.data.readers.tree import below
from merzoo.data.skipping import Skip
from merzoo.data.table import Task
from merzoo.errors import DataError, UnknownNameError
from merzoo.faces.video import FrameFiles, FrameSource, VideoFile
from merzoo.specs import Preprocessing
from merzoo.text import plain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class RecordedClips:
    """The clips of a tree as a source of frames."""

    def __init__(self, name: str, release: Release, recordings: Mapping[str, Recording]) -> None:
        self.name, self.release = name, release
        self._recordings = dict(sorted(recordings.items(), key=lambda item: (item[1].subject, item[0])))

    @cached_property
    def content_hash(self) -> str:
        """sha256 over the names and sizes of every clip's files: a tree extracted anew elsewhere, or opened from a folder higher up, hashes alike."""
        digest = hashlib.sha256(f"{self.name} {self.release}\n".encode())
        for sample_id, clip in self._recordings.items():
            digest.update(json.dumps([sample_id, clip.folder.name, clip.names, self.traits(clip), clip.release]).encode())
        return digest.hexdigest()

    @property
    def source_hash(self) -> str:
        """The content's hash."""
        return self.content_hash

    def traits(self, clip: Recording) -> list[object]:
        """What tells a clip's files from others of the same names: their sizes."""
        return [None if stat is None else stat.st_size for stat in stats_of(clip)]

    def lengths(self) -> dict[str, int]:
        """sample id -> frames, clips of a subject together."""
        return {sample_id: len(clip.names) for sample_id, clip in self._recordings.items()}

    def crops(self, sample_id: str, preprocessing: Preprocessing) -> np.ndarray:
        """uint8 [T, size, size, 3], RGB; see `face_crops`."""
        clip = self._recordings[sample_id]
        return face_crops(sample_id, frames_of(clip), len(clip.names), clip.release or self.release, preprocessing)


def frames_of(clip: Recording) -> FrameSource:
    """The frames of one clip. Raises `MediaError` for a video that cannot be opened."""
    if clip.video:
        return Picked(VideoFile(clip.folder, clip.fps), [int(name) for name in clip.names])
    return FrameFiles(clip.sample_id, [clip.folder / name for name in clip.names])


class Recorded(ABC):
    """A data set in a folder of its own. Subclasses read one layout each.

    root: the folder that was extracted. part: the label set (`label_sets.csv`), or "aus" for action units as labels. skip: clips to leave out of every part.
    Raises `DataError` for a root that is none, `UnknownNameError` for a part that the data set does not have.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    ask: ClassVar[str]  # how to get the data
    fps: ClassVar[float]
    default_part: ClassVar[str]
    multi_label: ClassVar[tuple[str, ...]] = ()  # parts whose clips carry several labels
    has_aus: ClassVar[bool] = True
    closed: ClassVar[str] = ""  # folders of such a name (regular expression, case aside) hold frames alone: no sheet is sought in them

    def __init__(self, root: Path | str, part: str = "", skip: Skip | None = None) -> None:
        self.root, self.part, self.skip = _resolved(Path(root)), part or self.default_part, skip
        self.unread: dict[Path, str] = {}  # folders below the root that could not be read -> why
        if self.part not in self.parts():
            raise UnknownNameError(f"part of {self.name}", self.part, [], f"(its parts: {', '.join(self.parts())})")
        self._skipped: frozenset[str] = frozenset()
        self.check_root()

    def check_root(self) -> None:
        """Raise `DataError` where the root cannot be read."""
        try:
            with os.scandir(self.root):
                pass
        except PermissionError as error:
            raise DataError(f"{self.name}: {self.root} cannot be read ({error.strerror}); check its permissions") from None
        except OSError:
            raise DataError(f"{self.name}: {self.root} is no folder; give the folder in which {self.title} was extracted with --root") from None

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Label sets that can be asked for."""
        return (*label_sets(cls.name), *((AUS,) if cls.has_aus else ()))

    @abstractmethod
    def read(self) -> Reading:
        """Read sheet and folders. Raises `DataError` where the tree is not this data set's."""

    @property
    def provides(self) -> tuple[str, ...]:
        """What the clips offer to a strategy, in words of `merzoo.needs.VOCABULARY`."""
        return ("emotion-labels", *(("au-labels",) if self.has_aus else ()))

    @property
    def task(self) -> Task:
        """ "multi-label" for action units and for data sets annotated so."""
        return "multi-label" if self.part == AUS or self.part in self.multi_label else "classes"

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes of the part, in order."""
        if self.part == AUS:
            return tuple(f"AU{au}" for au in CROSS_AUS)
        return tuple(dict.fromkeys(label_sets(self.name)[self.part].values()))

    @cached_property
    def reading(self) -> Reading:
        """What the tree holds, read once. Raises `DataError` where no clip is found."""
        reading = self.read_kept()
        if not reading.recordings:
            why = f" (first: {reading.dropped[0].what}: {reading.dropped[0].why})" if reading.dropped else ""
            remedy = "extract them there, or give the folder of this data set alone"
            raise DataError(f"{self.name}: no clip of {reading.rows} annotations has its frames below {self.root}{why}; {remedy}")
        reading.remarks += _unknown_emotions(self.name, reading)
        reading.remarks += [f"{below(self.root, folder)} cannot be read ({why}) and is passed over" for folder, why in self.unread.items()]
        return reading

    def read_kept(self) -> Reading:
        """What the tree holds without the clips to leave out, which are among the dropped. Raises as `read`."""
        reading = self.read()
        if self.skip is not None:
            self._skipped = frozenset(reading.recordings) & self.skip.lines.keys()
            for sample in sorted(self._skipped):
                for found in (reading.recordings, reading.missing, reading.apexes):
                    found.pop(sample, None)
                reading.drop(f"{self.skip.name} line {self.skip.lines[sample]}", sample, f"left out by {self.skip.name}")
        return reading

    @property
    def skipped(self) -> frozenset[str]:
        """The sample ids that `skip` left out."""
        self.reading  # noqa: B018  (they are known once it is read)
        return self._skipped

    def with_part(self, part: str) -> Self:
        """The same tree, read once, under another label set."""
        other = type(self)(self.root, part, skip=self.skip)
        other.__dict__["reading"], other._skipped = self.reading, self.skipped
        return other

    @property
    def sources(self) -> tuple[RecordedClips]:
        """All clips of the tree, whatever the part."""
        return (self._clips,)

    @cached_property
    def _clips(self) -> RecordedClips:
        return RecordedClips(self.name, self.reading.release, self.reading.recordings)

    def label_of(self, clip: Recording) -> str | None:
        """The cell `emotion` of a clip in this part; None where the part leaves the clip out. A macro clip whose emotion is no class stays, without a label."""
        if self.part == AUS:
            known = None if clip.aus is None or clip.unsure else [int(au) for au in clip.aus.split("+") if au]
            return None if known is None else "+".join(f"AU{au}" for au in CROSS_AUS if au in known)
        mapping = label_sets(self.name)[self.part]
        if clip.sample_id.partition(":")[2] in exclusions(self.name, self.part):
            return None
        if self.part in self.multi_label:
            found = {mapping[emotion] for emotion in clip.emotion.split("+") if emotion in mapping}
            return "+".join(label for label in self.labels if label in found) or None
        return mapping.get(clip.emotion, "" if clip.kind == "macro" else None)

    def left_out(self) -> dict[str, str]:
        """{sample id: why} of the clips found that the part does not use."""
        excluded, parts = exclusions(self.name, self.part), label_sets(self.name).values()
        why = {}
        for clip in self.reading.recordings.values():
            if self.label_of(clip) is not None:
                continue
            known = any(emotion in mapping for mapping in parts for emotion in clip.emotion.split("+"))
            default = clip.why_no_aus if self.part == AUS else f"its emotion is no class of part {self.part}"
            why[clip.sample_id] = excluded.get(clip.sample_id.partition(":")[2]) or (
                default if known or self.part == AUS else f"its emotion {plain(repr(clip.raw_emotion), 60)} is in no label set; mend it in the sheet"
            )
        return why

    def table(self) -> pd.DataFrame:
        """The clips of this part, with the columns of `merzoo.data.table.COLUMNS` and "fold"."""
        import pandas as pd

        rows = []
        for clip in self.reading.recordings.values():
            label = self.label_of(clip)
            if label is None:
                continue
            rows.append(
                {
                    "sample_id": clip.sample_id, "dataset": clip.subject.partition(":")[0], "subject": clip.subject, "clip_id": clip.clip_id,
                    "kind": clip.kind, "start": clip.start, "peak": clip.peak, "stop": clip.stop, "fps": clip.fps or self.reading.fps,
                    "frames": len(clip.names), "emotion": label, "aus": clip.aus, "corrections": "; ".join(clip.notes), "fold": clip.fold,
                }
            )  # fmt: skip
        if not rows:
            raise DataError(f"{self.name}: part {self.part} has none of the {len(self.reading.recordings)} clips found; see `merzoo data verify {self.name}`")
        return pd.DataFrame(rows)

    @cached_property
    def manifest_hash(self) -> str:
        """sha256 over the part's table and the files of its frames."""
        text = f"{self.name} {self.part} {self._clips.content_hash}\n" + self.table().to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(text.encode()).hexdigest()


def _unknown_emotions(name: str, reading: Reading) -> list[str]:
    """A line for each emotion of micro clips that no label set has: misspelled, most likely, and left out of every part."""
    known = {emotion for mapping in label_sets(name).values() for emotion in mapping}
    clips: dict[str, list[str]] = {}
    for clip in reading.recordings.values():
        if known and clip.kind == "micro" and known.isdisjoint(clip.emotion.split("+")):
            clips.setdefault(clip.raw_emotion, []).append(clip.sample_id)
    return [
        f"the emotion {plain(repr(emotion), 60)} is in no label set, so no part has {found[0]}" + (f" and {len(found) - 1} more" if found[1:] else "")
        for emotion, found in clips.items()
    ]


def _resolved(root: Path) -> Path:
    """The root without links; a link to itself as it is, which is no folder."""
    try:
        return root.expanduser().resolve()
    except (OSError, RuntimeError):
        return root.absolute()


def stats_of(clip: Recording) -> list[os.stat_result | None]:
    """What the file system says of a clip's files, None for one that is gone by now."""
    if clip.video:
        return [_stat(clip.folder)]
    entries: dict[str, os.DirEntry[str]] = {}
    with contextlib.suppress(OSError), os.scandir(clip.folder) as found:  # frames are many, and a path for each would take half of the time
        entries = {entry.name: entry for entry in found}
    return [_stat(entries.get(name)) for name in clip.names]


def _stat(file: Path | os.DirEntry[str] | None) -> os.stat_result | None:
    try:
        return file.stat() if file is not None else None
    except OSError:
        return None
