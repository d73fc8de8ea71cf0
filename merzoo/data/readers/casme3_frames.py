"""Where CAS(ME)^3 keeps its frames: whole videos, and the release of micro-expressions alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from merzoo.data.readers.frames import FrameList, frames_in, pick
from merzoo.data.readers.reading import renumbered
from merzoo.data.readers.tree import DEPTH, Unread, folders, pictures_below, walk
from merzoo.errors import DataError

if TYPE_CHECKING:
    from merzoo.data.readers.base import Recorded

SUBJECT = r"spno\.?\s*0*([0-9]{1,4})"
CLIP = rf"{SUBJECT}_([a-z][a-z0-9]*)_([0-9]+)"  # spNO.10_a_116: subject, video, onset
OTHERS = r"depth|part_?[b-d]"  # not colour; not part A
DAMAGED = re.compile(rf"^\s*{SUBJECT}[\s/]+([a-z])[\s/]+([0-9]+)\.jpg", re.IGNORECASE | re.MULTILINE)


class Videos:
    """Frames of videos and clips below a root. whole: {(subject, video): folder}. damaged: (subject, video, frame) of images known not to open.

    The folder listed last is kept, so whoever asks video by video lists each once. Raises `DataError` where no folder of frames is found.
    """

    def __init__(self, dataset: Recorded) -> None:
        self.whole: dict[tuple[int, str], Path] = {}
        self._clips: dict[tuple[int, str, int], Path] = {}
        for folder in folders(dataset):
            parts = [folder.name] if folder == dataset.root else folder.relative_to(dataset.root).parts
            if not any(re.fullmatch(OTHERS, part, re.IGNORECASE) for part in parts):
                self._note(folder, dataset.unread)
        if not self.whole and not self._clips:
            raise DataError(
                f"{dataset.name}: no folders spNO.1/a/color or spNO.1_a_116 with frames are below {dataset.root}; "
                f"extract part_A (or Part_A_ME_clip) of {dataset.title} there"
            )
        self.damaged = frozenset(_damaged(dataset))
        self._used: set[Path] = set()
        self._listed: FrameList | None = None

    def _note(self, folder: Path, unread: Unread) -> None:
        clip, subject = (re.fullmatch(pattern, folder.name, re.IGNORECASE) for pattern in (CLIP, SUBJECT))
        if clip:
            self._clips.setdefault((int(clip[1]), clip[2].lower(), int(clip[3])), folder)
        elif subject:
            for video, is_folder in walk(folder, 1, unread):
                if is_folder:
                    inside = {path.name.lower(): path for path, inner in walk(video, 1, unread) if inner}
                    if "depth" not in inside or "color" in inside or next(iter(pictures_below(video, unread, 1)), []):  # depth alone is no video
                        self.whole.setdefault((int(subject[1]), video.name.lower()), inside.get("color", video))

    def frames(self, subject: int, video: str, onsets: Iterable[int | None], offset: int | None) -> tuple[FrameList | None, str]:
        """(frames of a video, or where it has none of the interval those of the clip that begins at one of these onsets, "" or a note on their numbers);
        (None, "") if none."""
        folder = self.whole.get((subject, video))
        known = [onset for onset in onsets if onset is not None]
        clips = [self._clips[subject, video, onset] for onset in known if (subject, video, onset) in self._clips]
        if folder:
            listed = self._list(folder, subject, video)
            if not clips or offset is None or listed.numbers[pick(listed, known[0], offset)[0]]:
                return listed, ""
        if not clips or offset is None:
            return None, ""
        return renumbered(self._list(clips[0], subject, video), known[0], offset)

    def _list(self, folder: Path, subject: int, video: str) -> FrameList:
        self._used.add(folder)
        if self._listed is None or self._listed.folder != folder:
            listed = frames_in(folder)
            good = [i for i, number in enumerate(listed.numbers) if (subject, video, number) not in self.damaged]
            if len(good) < len(listed.numbers):
                listed = replace(listed, numbers=tuple(listed.numbers[i] for i in good), names=tuple(listed.names[i] for i in good))
            self._listed = listed
        return self._listed

    def unused(self) -> list[Path]:
        """Folders that nobody asked for."""
        return sorted({*self.whole.values(), *self._clips.values()} - self._used)


def _damaged(dataset: Recorded) -> Iterable[tuple[int, str, int]]:
    """From the authors' list of images that cannot be opened, lines like "spNO.3 J 498.jpg  the image cannot open", if it is below the root."""
    for path, is_folder in walk(dataset.root, DEPTH, dataset.unread, dataset.closed):
        if not is_folder and re.fullmatch(r"error_info_damaged_image_parta\.txt", path.name, re.IGNORECASE):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")[: 2**24]
            except OSError as error:
                raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
            yield from ((int(line[1]), line[2].lower(), int(line[3])) for line in DAMAGED.finditer(text))
