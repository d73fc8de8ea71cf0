"""Clips of one's own on disk: a folder of frames or a video file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from merzoo.data.readers.frames import IMAGES, FrameList, list_frames
from merzoo.errors import DataError, MediaError
from merzoo.faces.video import PICTURES, VideoFile

LONGEST = 4_000  # frames of one clip (our choice): at 224 px they take 0.6 GB of memory while they are decoded


@dataclass(frozen=True)
class Media:
    """What lies at a path. frames: None where it is no clip, and then `why`. fps: as a video file says, None where it does not."""

    frames: FrameList | None
    why: str = ""
    fps: float | None = None
    video: bool = False


def open_media(path: Path, frames: int = LONGEST + 1) -> Media:
    """A folder of frames, with the numbers in their names, or a video, with numbers from 0; never raises for what lies there.

    frames: how many of a video's frames somebody will ask for; no more are counted. Links are followed: the data are the user's own.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return Media(None, f"it is not there ({getattr(error, 'strerror', None) or 'no path'}); check the path")
    try:
        if stat.S_ISDIR(mode):
            return _folder(path)
        if not stat.S_ISREG(mode):
            return Media(None, "it is neither a folder nor a regular file; give a folder of frames or a video file")
        if path.suffix.lower() in PICTURES:
            return Media(None, "it is a single picture, and motion needs two frames; give its folder")
        return _video(path, frames)
    except (DataError, MediaError) as error:
        return Media(None, str(error).removeprefix(os.fspath(path)).lstrip(": "))


def whole(frames: FrameList) -> FrameList:
    """The same frames, numbered from 0 without gaps: where no annotation refers to the numbers, gaps mean nothing."""
    return replace(frames, numbers=tuple(range(len(frames.numbers))))


def _folder(path: Path) -> Media:
    found = list_frames(path)
    if len(found.numbers) < 2:
        what = "holds no picture" if not found.numbers else "holds a single frame"
        return Media(None, f"the folder {what} with a number in its name ({', '.join(IMAGES)}); give two or more, such as img001.jpg, img002.jpg")
    return Media(found)


def _video(path: Path, frames: int) -> Media:
    video = VideoFile(path)
    declared = video.declared_frames or 0
    # What a container declares may be an estimate: it is believed where it is far more than what is asked for, else the frames are counted.
    count = frames if declared > frames + max(2, 0.02 * declared) else video.count(frames)
    return Media(FrameList(path, tuple(range(count)), tuple(map(str, range(count)))), fps=video.fps, video=True)
