"""Aligned face crops of one annotated clip, from full frames or from the crops that a data set's authors release."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import cv2
import numpy as np

from merzoo.errors import DataError, NoFaceError
from merzoo.faces.align import Aligner, crop
from merzoo.faces.detect import as_grey
from merzoo.faces.motion import HeldFace
from merzoo.faces.track import track_faces
from merzoo.faces.video import FrameFiles, FrameSource
from merzoo.registry import registry
from merzoo.specs import Preprocessing

Release = Literal["raw", "cropped"]
LOOK = 9  # first frames in which the face is sought: as many as an aligner pools


class Picked(FrameSource):
    """Some frames of a source, by their ascending numbers in it, counted anew from 0."""

    def __init__(self, source: FrameSource, numbers: Sequence[int]) -> None:
        self.source, self.numbers = source, numbers
        self.name, self.fps, self.declared_frames = source.name, source.fps, len(numbers)

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """See `FrameSource.read`."""
        chosen = list(range(len(self.numbers))) if wanted is None else [index for index in wanted if index < len(self.numbers)]
        for index, (_, frame) in zip(chosen, self.source.read(self.numbers[index] for index in chosen), strict=False):  # the source may end before
            yield index, frame


def face_crops(name: str, source: FrameSource, count: int, release: Release, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 [count, size, size, 3], RGB, one crop a frame.

    raw: the largest face is found in the first frames, aligned there, and the alignment held through the clip but for the head's own motion, which is taken out
    (as for videos). cropped: the whole picture scaled to the square, as papers do with these releases (our choice: no second alignment).
    Raises `MediaError` for a frame that cannot be read, or is of another size than the first; `DataError` where no face is found, or fewer frames are there
    than `count`.
    """
    crops = np.empty((count, preprocessing.size, preprocessing.size, 3), np.uint8)
    held = None if release == "cropped" else _aligned(name, source, preprocessing)
    face: HeldFace | None = None
    index = -1
    for index, frame in source.read():
        if held is None:
            crops[index] = cv2.resize(frame, (preprocessing.size, preprocessing.size), interpolation=cv2.INTER_AREA)
            continue
        transform = held
        if face is None:
            face = HeldFace(as_grey(frame), held)
        else:
            face.add(as_grey(frame))
            transform = face.transform
        crops[index] = crop(frame, transform, preprocessing.size)
    if index + 1 < count:
        raise DataError(f"only {index + 1} of its {count} frames decode ({source.name}); copy the file again, or say where the clip ends")
    return crops


def _aligned(name: str, source: FrameSource, preprocessing: Preprocessing) -> np.ndarray:
    """2 x 3 from px of the first frame to the crop, by the largest face of the first frames, or where none is seen there, of all."""
    aligner: Aligner = registry().get("aligner", preprocessing.aligner).load()()
    for frames in (Picked(source, range(LOOK)), source):
        with contextlib.suppress(NoFaceError):
            return aligner.transform(track_faces(frames)[0], 0)
    where = source.files[0] if isinstance(source, FrameFiles) else source.name
    raise DataError(f"no face is found in its frames (see {where}); take the cropped release (of your own data: say release cropped), or leave the clip out")
