"""Single pictures from files, without OpenCV's complaints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from merzoo.errors import MediaError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """OpenCV without its complaints, which would reach stderr beside our one line."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def decoded(path: Path, flags: int) -> np.ndarray | None:
    """A picture as OpenCV decodes it under its IMREAD `flags`, None where it cannot be read."""
    with quiet(), contextlib.suppress(OSError, cv2.error):
        data = np.fromfile(path, dtype=np.uint8)
        return cv2.imdecode(data, flags) if data.size else None
    return None


def read_picture(path: Path) -> np.ndarray:
    """RGB uint8 [H, W, 3]. Raises `MediaError` where it cannot be read."""
    bgr = decoded(path, cv2.IMREAD_COLOR)
    if bgr is None:
        raise MediaError(f"{path} is not a readable picture; replace it or take it out of the folder")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
