"""A video of a synthetic face, to try things on."""

from __future__ import annotations

from pathlib import Path

import cv2

from merzoo.data.synthetic import SyntheticFaces

CLEAR = 2  # which of the micro-expressions of happiness is shown: a clear one, chosen so that a newcomer can see it


def write_video(path: Path) -> tuple[Path, str]:
    """A clear micro-expression of happiness of the demonstration's people, as a short video; returns the path and what the face shows."""
    faces = SyntheticFaces("demo")
    clip = faces.table().query("kind == 'micro' and emotion == 'happiness'").iloc[CLEAR]
    frames = faces.frames(clip["sample_id"], size=256)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), float(clip["fps"]), (480, 360))
    for frame in frames:
        framed = cv2.copyMakeBorder(frame, 52, 52, 112, 112, cv2.BORDER_REPLICATE)
        writer.write(cv2.cvtColor(framed, cv2.COLOR_RGB2BGR))
    writer.release()
    return path, f"{clip['emotion']} (action units {clip['aus']}), onset {clip['start']}, apex {clip['peak']}, offset {clip['stop']}"
