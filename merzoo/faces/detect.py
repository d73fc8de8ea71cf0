"""Frontal faces and eyes by the boosted cascades that OpenCV ships (Viola and Jones 2001; Lienhart and Maydt 2002)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from merzoo.errors import MediaError

FACE_CASCADE = "haarcascade_frontalface_alt2.xml"  # of OpenCV's frontal ones the fewest false alarms on textures, and the fastest
EYE_CASCADE = "haarcascade_eye.xml"
SCAN_SIDE = 480  # px: a whole frame is shrunk to this long side before it is scanned
SMALLEST = 0.12  # smallest face sought, as a share of the frame's short side; below it a micro-expression is not resolved
ROI_FACE = 80  # px: width of a known face in the patch that is searched around it
EYE_FACE = 128  # px: width of the face when its eyes are sought
NEIGHBOURS = 3  # overlapping hits that make a detection


@dataclass(frozen=True, slots=True)
class Box:
    """A face: left, top, width, height in px of the frame, and the cascade's last-stage weight (higher is surer, no probability)."""

    x: float
    y: float
    w: float
    h: float
    weight: float = 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0 to 1."""
        across = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        down = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if across <= 0 or down <= 0:
            return 0.0
        return across * down / (self.w * self.h + other.w * other.h - across * down)


class FaceDetector:
    """OpenCV's embedded cascades: no download, no network. Frames are RGB uint8 [H, W, 3] or grey uint8 [H, W]."""

    def __init__(self) -> None:
        self._faces, self._eyes = _cascade(FACE_CASCADE), _cascade(EYE_CASCADE)

    def detect(self, frame: np.ndarray) -> list[Box]:
        """All frontal faces of a frame, largest first."""
        grey = as_grey(frame)
        smallest = SMALLEST * min(grey.shape)
        found = self._search(grey, min(1.0, SCAN_SIDE / max(grey.shape)), smallest, float(min(grey.shape)))
        return sorted(found, key=lambda b: -b.w * b.h)

    def near(self, frame: np.ndarray, known: Box) -> Box | None:
        """The face in the neighbourhood of `known`, at 0.75 to 1.33 times its size: an exhaustive scan's answer at a tenth of its cost."""
        grey = as_grey(frame)
        margin = 0.3 * known.w
        left, top = max(0, int(known.x - margin)), max(0, int(known.y - margin))
        right, bottom = int(known.x + known.w + margin), int(known.y + known.h + margin)
        patch = grey[top:bottom, left:right]
        if min(patch.shape) < 0.75 * known.w:
            return None
        found = self._search(patch, min(1.0, ROI_FACE / known.w), 0.75 * known.w, 1.33 * known.w)
        moved = [Box(b.x + left, b.y + top, b.w, b.h, b.weight) for b in found]
        return max(moved, key=known.iou, default=None)

    def eyes(self, frame: np.ndarray, face: Box) -> np.ndarray | None:
        """Eye centres float32 [2, 2] in px of the frame, image left first, or None unless a plausible pair is found."""
        grey = as_grey(frame)
        left, top = max(0, int(face.x)), max(0, int(face.y + 0.15 * face.h))
        patch = grey[top : int(face.y + 0.6 * face.h), left : int(face.x + face.w)]
        scale = EYE_FACE / face.w
        if min(patch.shape) * scale < EYE_FACE / 4:
            return None
        patch = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        rects, _, weights = self._eyes.detectMultiScale3(
            patch, 1.1, NEIGHBOURS, minSize=(EYE_FACE // 8,) * 2, maxSize=(EYE_FACE * 2 // 5,) * 2, outputRejectLevels=True
        )
        centres = np.array([((x + w / 2) / scale + left, (y + h / 2) / scale + top) for x, y, w, h in rects], np.float32)
        return _best_pair(centres, np.ravel(weights), face)

    def _search(self, grey: np.ndarray, scale: float, smallest: float, largest: float) -> list[Box]:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        low, high = max(20, int(smallest * scale)), max(21, round(largest * scale))
        if min(small.shape) < 20:  # the cascade's own window
            return []
        rects, _, weights = self._faces.detectMultiScale3(small, 1.1, NEIGHBOURS, minSize=(low, low), maxSize=(high, high), outputRejectLevels=True)
        return [
            Box(float(x) / scale, float(y) / scale, float(w) / scale, float(h) / scale, float(sure))
            for (x, y, w, h), sure in zip(rects, np.ravel(weights), strict=True)
        ]


def as_grey(frame: np.ndarray) -> np.ndarray:
    """Grey uint8 [H, W] of an RGB or grey frame."""
    return frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _best_pair(centres: np.ndarray, weights: np.ndarray, face: Box) -> np.ndarray | None:
    """The heaviest pair that lies as eyes do in the cascade's box (limits: our choice, wide about the ratios in `align`)."""
    best, score = None, -np.inf
    for i, one in enumerate(centres):
        for j, two in enumerate(centres):
            apart, drop = (two[0] - one[0]) / face.w, abs(two[1] - one[1]) / face.w
            middle = (one[0] + two[0]) / 2
            if not (0.25 < apart < 0.5 and drop < 0.15 and abs(middle - face.x - face.w / 2) < 0.12 * face.w):
                continue
            if weights[i] + weights[j] > score:
                best, score = np.stack([one, two]), weights[i] + weights[j]
    return best


def _cascade(name: str) -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / name
    cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
    if cascade is None or cascade.empty():
        raise MediaError(f"OpenCV {cv2.__version__} lacks {name}; install opencv-python-headless >=4.10,<5")
    return cascade
