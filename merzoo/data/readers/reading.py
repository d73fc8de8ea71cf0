"""What a reader found in a tree: clips, and everything that was left out or mended, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from merzoo.data.readers.corrections import Applied
from merzoo.data.readers.crops import Release
from merzoo.data.readers.frames import FrameList, pick
from merzoo.data.readers.parse import parse_aus, parse_int, peak_or_middle
from merzoo.faces.clip import thin
from merzoo.interval import Interval
from merzoo.text import plain

MARGIN = 8  # frames kept before the onset and after the offset, where they exist, for annotations read a little differently (our choice)


@dataclass(frozen=True)
class Recording:
    """One annotated clip: its frames on disk and what the annotation says of it. start, peak and stop are positions among the frames."""

    sample_id: str
    subject: str  # "casme2:01"
    clip_id: str
    kind: str  # "micro" or "macro"
    folder: Path
    names: tuple[str, ...]  # files, in time
    start: int
    peak: int
    stop: int
    emotion: str  # in the words of `parse_emotion`; several joined by "+"
    raw_emotion: str
    aus: str | None  # "4+12"; None where nobody coded them, or nothing in the cell can be read
    fold: str = ""  # of an official split
    notes: tuple[str, ...] = ()  # what was mended
    release: Release | None = None  # where it is another than that of the tree
    fps: float | None = None  # where it is another than that of the data set
    video: bool = False  # `folder` is a video file, and `names` are the numbers of its frames
    unsure: str = ""  # what the cell of action units has beside `aus` that says neither active nor inactive: "R12 or R15 (undecided)"
    where: str = ""  # sheet and row

    @property
    def why_no_aus(self) -> str:
        """Why the clip has no action units as labels, "" where it has."""
        if self.unsure:
            return f"its action units are unclear: {self.unsure}" + (f"; sure are {self.aus}" if self.aus else "")
        return "nobody coded its action units" if self.aus is None else ""


@dataclass(frozen=True)
class Dropped:
    """An annotation or a folder that did not become a clip."""

    where: str  # "CASME2-coding.xlsx row 12"
    what: str  # "sub01/EP02_01f"
    why: str


@dataclass
class Reading:
    """Filled by a reader, clip by clip."""

    dataset: str
    fps: float
    release: Release
    sheets: list[Path] = field(default_factory=list)
    rows: int = 0  # annotations met
    annotated: list[tuple[str, str, str]] = field(default_factory=list)  # (kind, subject, emotion) of each, with or without frames
    recordings: dict[str, Recording] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)  # folders of frames without an annotation
    missing: dict[str, int] = field(default_factory=dict)  # sample id -> frames absent between onset and offset
    apexes: dict[str, str] = field(default_factory=dict)  # sample id -> why its apex is the middle frame
    corrections: list[Applied] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # what holds for the whole set, and where two of its files disagree
    most_frames: int = 64  # of a macro clip, spread evenly: it may last many seconds (our choice; the table's fps stays that of the recording)

    def drop(self, where: str, what: str, why: str) -> None:
        """Note what does not become a clip."""
        self.dropped.append(Dropped(where, plain(what, 120), plain(why, 200)))

    def unnamed(self, where: str, what: str, why: str) -> None:
        """An annotation that does not say whose it is, or of which clip."""
        self.rows += 1
        self.drop(where, what, why)

    def add(
        self,
        where: str,
        subject: str,
        clip_id: str,
        frames: FrameList | None,
        interval: tuple[object, object, object],
        *,
        emotion: str,
        raw_emotion: str = "",
        aus: object = None,
        kind: str = "micro",
        fold: str = "",
        notes: tuple[str, ...] = (),
        release: Release | None = None,
        fault: str = "",
        dataset: str = "",
        fps: float | None = None,
        video: bool = False,
        gone: int = 0,
    ) -> None:
        """One annotation.

        where: sheet and row. subject: its padded id. clip_id: unique in the subject. frames: what is on disk (None: no folder). interval: onset, apex and
        offset in frame numbers as they stand in the sheet; an apex that is missing or outside gives the middle frame. fault: why the data set's authors say
        that it is none. dataset, release, fps: where they are not those of the reading. video: `frames` are those of a video file. gone: frames known to be
        missing beyond those of the interval. What cannot be a clip goes to `dropped`.

        aus: the cell of action units. Where nothing in it can be read, they are unknown and not all inactive. One with a choice ("4 + R12 or R15") keeps what
        is sure in `aus`, and the clip is none of the part "aus", in which 12 and 15 would count as inactive (our choice); static ones ("17(k)") are inactive.
        """
        self.rows += 1
        self.annotated.append((kind, subject, emotion))
        what = f"{subject}/{clip_id}"
        dataset = dataset or self.dataset
        sample_id = f"{dataset}:{what}"
        fault = fault or _fault(sample_id, self.recordings, frames, interval, kind)
        onset, offset = parse_int(interval[0]), parse_int(interval[2])
        if fault or frames is None or onset is None or offset is None:
            self.drop(where, what, fault)
            return
        peak, reason = peak_or_middle(onset, interval[1], offset)
        margin = MARGIN if kind == "micro" else 0
        kept, absent = pick(frames, onset - margin, offset + margin)
        numbers, names = frames.numbers[kept], frames.names[kept]
        inside = [i for i, number in enumerate(numbers) if onset <= number <= offset]
        if len(inside) < (2 if kind == "micro" else 1):
            self.drop(where, what, f"{len(inside)} of its frames {onset} to {offset} are in {frames.folder.name}; extract them again")
            return
        start, stop = inside[0], inside[-1]
        at = min(inside, key=lambda i: (abs(numbers[i] - peak), i))
        if not reason and numbers[at] != peak:
            reason = f"{peak} is not on disk, {numbers[at]} is the nearest frame"
        gone += sum(onset <= number <= offset for number in absent)
        if kind == "macro" and len(inside) > self.most_frames:
            chosen = thin(Interval(start, at, stop), max(3, self.most_frames))
            names, start, at, stop = tuple(names[i] for i in chosen), 0, chosen.index(at), len(chosen) - 1
            notes = (*notes, f"{len(chosen)} of {len(inside)} frames kept")
        if reason:
            self.apexes[sample_id] = reason
            notes = (*notes, f"apex: {reason}")
        if gone:
            self.missing[sample_id] = gone
            notes = (*notes, f"{gone} frames missing")
        units, unsure, told = _units(aus)
        notes = (*notes, *told, *frames.notes)
        self.recordings[sample_id] = Recording(
            sample_id, f"{dataset}:{subject}", clip_id, kind, frames.folder, names, start, at, stop,
            emotion, raw_emotion or emotion, units, fold, notes, release, fps, video, unsure, where,
        )  # fmt: skip

    def notes(self) -> dict[str, list[str]]:
        """sample id -> what was mended or passed over in its clip, but for what `apexes`, `missing` and `corrections` tell already."""
        corrected = {applied.note for applied in self.corrections}
        told = {}
        for sample_id, clip in self.recordings.items():
            known = {f"apex: {self.apexes.get(sample_id)}", f"{self.missing.get(sample_id)} frames missing"}
            left = [note for note in clip.notes if note not in corrected and note not in known]
            if left:
                told[sample_id] = left
        return told


def _units(cell: object) -> tuple[str | None, str, tuple[str, ...]]:
    """(active units, what is unsure beside them, notes) of a cell of action units."""
    found = parse_aus(cell)
    if found is None:
        return None, "", ()
    left = plain(", ".join(found.skipped), 200)
    unsure = left if found.undecided or not found.known else ""
    return "+".join(map(str, found.aus)) if found.known else None, unsure, (f"AUs left out: {left}",) if left else ()


def _fault(sample_id: str, known: dict[str, Recording], frames: FrameList | None, interval: tuple[object, object, object], kind: str) -> str:
    """Why an annotation cannot be a clip, or ""."""
    onset, offset = parse_int(interval[0]), parse_int(interval[2])
    if sample_id in known:
        return "the same clip stands in an earlier row"
    if frames is None or not frames.numbers:
        return (frames.fault if frames else "") or "no frames on disk"
    if onset is None or offset is None:
        return f"onset {interval[0]!r} and offset {interval[2]!r} are not both frame numbers"
    if offset < onset or (offset == onset and kind == "micro"):
        return f"offset {offset} is not after onset {onset}"
    return ""


def renumbered(frames: FrameList, onset: int, offset: int) -> tuple[FrameList, str]:
    """(frames, "") as they are, or, in a folder cut to one clip whose files count from 0 or 1, with the numbers that the annotation uses and a note of it.

    Only where there are exactly as many files as frames from onset to offset, without a gap: then nothing else can be meant.
    """
    count = offset - onset + 1
    if not frames.numbers or frames.numbers[0] not in (0, 1) or frames.numbers[0] == onset or len(frames.numbers) != count:
        return frames, ""
    if frames.numbers[-1] - frames.numbers[0] + 1 != count:
        return frames, ""
    return replace(frames, numbers=tuple(range(onset, offset + 1))), f"files {frames.numbers[0]} to {frames.numbers[-1]} are frames {onset} to {offset}"
