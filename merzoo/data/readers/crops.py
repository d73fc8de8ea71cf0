"""Aligned face crops of one annotated clip, from full frames or from the crops that a data set's authors release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from merzoo.errors import DataError, NoFaceError
from merzoo.faces.align import Aligner, crop
from merzoo.faces.detect import as_grey
from merzoo.faces.motion import HeldFace
from merzoo.faces.track import FaceTrack, track_faces
from merzoo.faces.video import FrameFiles
from merzoo.registry import registry
from merzoo.specs import Preprocessing

Release = Literal["raw", "cropped"]
LOOK = 9  # first frames in which the face is sought: as many as an aligner pools


def face_crops(name: str, files: Sequence[Path], release: Release, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 [T, size, size, 3], RGB, one crop a file.

    raw: the largest face is found in the first frames, aligned there, and the alignment held through the clip but for the head's own motion, which is taken out
    (as for videos). cropped: the whole picture scaled to the square, as papers do with these releases (our choice: no second alignment).
    Raises `MediaError` for a picture that cannot be read, or is of another size than the first; `DataError` where no face is found.
    """
    source = FrameFiles(name, files)
    crops = np.empty((len(files), preprocessing.size, preprocessing.size, 3), np.uint8)
    if release == "cropped":
        for index, frame in source.read():
            crops[index] = cv2.resize(frame, (preprocessing.size, preprocessing.size), interpolation=cv2.INTER_AREA)
        return crops
    aligner: Aligner = registry().get("aligner", preprocessing.aligner).load()()
    held = aligner.transform(_find(name, files), 0)
    face: HeldFace | None = None
    for index, frame in source.read():
        transform = held
        if face is None:
            face = HeldFace(as_grey(frame), held)
        else:
            face.add(as_grey(frame))
            transform = face.transform
        crops[index] = crop(frame, transform, preprocessing.size)
    return crops


def _find(name: str, files: Sequence[Path]) -> FaceTrack:
    """The largest face of the first frames, or where none is seen there, of all."""
    try:
        return track_faces(FrameFiles(name, files[:LOOK]))[0]
    except NoFaceError:
        try:
            return track_faces(FrameFiles(name, files))[0]
        except NoFaceError:
            text = "use the cropped release, or leave the clip out"
            raise DataError(f"{name}: no face is found in its {len(files)} frames (first: {files[0]}); {text}") from None
