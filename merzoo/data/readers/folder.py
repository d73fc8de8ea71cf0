"""Anyone's own clips in folders: subject/emotion/clip/frames."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import Self

from merzoo.data.readers.crops import Release
from merzoo.data.readers.frames import LITTER, is_folder
from merzoo.data.readers.media import LONGEST, open_media, whole
from merzoo.data.readers.own import Own, labels_in, natural
from merzoo.data.readers.parse import parse_text
from merzoo.data.readers.reading import Reading
from merzoo.errors import DataError

CROPPED = "cropped"  # the part whose frames are aligned crops of faces already


class FolderTree(Own):
    """A folder of subjects, in each a folder an emotion, and in that the clips: folders of frames, or video files.

    Every clip is used from its first frame to its last, with the middle one as apex (a table of clips can say better, see `Manifest`). An emotion folder
    "happiness+surprise" gives both labels. Hidden files are ignored; clips without two frames are in `reading.dropped`. part: "" where frames are whole
    pictures in which the face has to be found, "cropped" where they are aligned crops of it.

    Raises `DataError` for a root that is no folder, or holds no clip at that depth.
    """

    name = "folder"
    title = "your clips"
    layout = "clips must lie as SUBJECT/EMOTION/CLIP, a clip being a folder of frames or a video"
    has_aus = False

    def check_root(self) -> None:
        """Raise `DataError` where the root is no folder."""
        if not os.path.isdir(self.root):  # noqa: PTH112  (where Path's raises, this says no)
            raise DataError(f"folder: {self.root} is no folder; give one with --root in which {self.layout}")

    @classmethod
    def parts(cls) -> tuple[str, ...]:
        """Whole frames ("") and crops."""
        return ("", CROPPED)

    def with_part(self, part: str) -> Self:
        """The same folders read anew: a part says what their frames are."""
        other = type(self)(self.root, part, skip=self.skip)
        other.remap = self.remap
        return other

    def read(self) -> Reading:
        """One recording a clip, subjects, emotions and clips in natural order."""
        release: Release = "cropped" if self.part == CROPPED else "raw"
        reading = Reading(self.name, self.fps, release)
        for subject in self._folders(reading, self.root, "subjects"):
            for emotion in self._folders(reading, subject, "emotions"):
                self._clips_in(reading, subject.name, emotion)
        return reading

    def _clips_in(self, reading: Reading, subject: str, emotion: Path) -> None:
        who, label, where = parse_text(subject), labels_in(emotion.name), f"{subject}/{emotion.name}"
        loose = 0
        for entry in _listed(reading, self.root, emotion):
            name, path = parse_text(entry.name), Path(entry.path)
            if not is_folder(entry) and _kind(entry.name) == "image":
                loose += 1
                continue
            media = open_media(path)
            if media.frames is None or not who or not label or not name:
                reading.unnamed(where, entry.name, media.why or "its subject, emotion or clip has no name")
                continue
            frames = whole(media.frames)
            last = frames.numbers[-1]
            fault = f"it has more than {LONGEST:,} frames; cut it, or list its onset and offset in a table (--data clips.csv)" if last >= LONGEST else ""
            clip = f"{parse_text(emotion.name)}/{name}"  # two emotions may each have a clip of one name
            reading.add(
                where, who, clip, frames, (0, None, last), emotion=label, raw_emotion=emotion.name, fps=media.fps, video=media.video, fault=fault
            )  # fmt: skip
        if loose:
            why = f"{loose} pictures lie where clips should be; put the frames of each clip into a folder of its own, or check that {self.layout}"
            reading.unnamed(where, emotion.name, why)

    def _folders(self, reading: Reading, folder: Path, of: str) -> list[Path]:
        """Folders in a folder; clips that lie beside them are dropped, with the reason, and other files mean nothing."""
        entries = _listed(reading, self.root, folder)
        loose = [entry.name for entry in entries if not is_folder(entry) and _kind(entry.name) in ("image", "video")]
        if loose:
            what = f"{len(loose)} files such as {loose[0]}"
            reading.unnamed(_below(self.root, folder), what, f"they lie beside the folders of {of}; {self.layout}")
        return [Path(entry.path) for entry in entries if is_folder(entry)]


def _listed(reading: Reading, root: Path, folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, in natural order, without hidden files and litter."""
    try:
        with os.scandir(folder) as entries:
            kept = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in LITTER and e.name != "__MACOSX"]
    except OSError as error:
        if folder == root:
            raise DataError(f"folder: {root} cannot be read ({error.strerror}); check its permissions") from error
        reading.unnamed(_below(root, folder), folder.name, f"it cannot be read ({error.strerror}); check its permissions")
        return []
    return sorted(kept, key=lambda e: (natural(e.name), e.name))


def _kind(name: str) -> str:
    """ "image", "video" or another kind of file, by its ending."""
    return (mimetypes.guess_type(name)[0] or "").partition("/")[0]


def _below(root: Path, folder: Path) -> str:
    return folder.name if folder == root else folder.relative_to(root).as_posix()
