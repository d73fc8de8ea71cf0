"""Faces in a raw video: decode, detect, track, align, crop, spot candidate intervals. Imports OpenCV, so import it only when needed."""

from __future__ import annotations

from merzoo.faces.align import Aligner, crop, similarity
from merzoo.faces.clip import FaceEvent, FaceResult, face_clips
from merzoo.faces.detect import Box, FaceDetector
from merzoo.faces.spot import Candidate, spot
from merzoo.faces.track import FaceTrack, track_faces
from merzoo.faces.video import FrameSource, open_source

__all__ = [
    "Aligner",
    "Box",
    "Candidate",
    "FaceDetector",
    "FaceEvent",
    "FaceResult",
    "FaceTrack",
    "FrameSource",
    "crop",
    "face_clips",
    "open_source",
    "similarity",
    "spot",
    "track_faces",
]
