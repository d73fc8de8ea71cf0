"""The pictures of the documentation: `python -m merzoo.data.synthetic.pictures OUT` writes identities.png, action_units.png and clip.png.

All people come from the part "development" or "demo": looking at the benchmark's faces is the first step of tuning on them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from merzoo.data.synthetic import identity
from merzoo.data.synthetic.dataset import SyntheticFaces
from merzoo.data.synthetic.eyes import Gaze
from merzoo.data.synthetic.fields import Array
from merzoo.data.synthetic.parts import PARTS
from merzoo.data.synthetic.performance import SAFE
from merzoo.data.synthetic.recipes import ACTION_UNITS, INDEX, TABLE
from merzoo.data.synthetic.render import Face, Pose, camera, face

MACRO_PX, MICRO_PX = 6.0, 1.2
DIFFERENCE_GAIN, CLIP_GAIN = 5, 4
COMBINATIONS = ((6, 12), (12, 25), (1, 2, 5), (4, 9), (9, 10), (4, 7), (15, 17))
Picture = np.ndarray


def _levels(who: Face, units: Sequence[int], peak_px: float) -> Array:
    levels = np.zeros((2, len(ACTION_UNITS)), np.float32)
    for unit in units:
        levels[:, INDEX[unit]] = 1
    safe = min(TABLE[INDEX[unit]].safe for unit in units)
    return np.minimum(levels * np.float32(min(peak_px, safe) / who.muscles.peak(levels)), SAFE)


def _difference(a: Picture, b: Picture, gain: int) -> Picture:
    return np.clip(128 + gain * (b.astype(np.int16) - a.astype(np.int16)), 0, 255).astype(np.uint8)


def _titled(image: Picture, title: str) -> Picture:
    out = image.copy()
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, title, (4, out.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, thickness, cv2.LINE_AA)
    return out


def _sheet(pictures: Sequence[Picture], columns: int) -> Picture:
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *([blank] * (-len(pictures) % columns))]
    return np.vstack([np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)])


def identities(size: int = 144) -> Picture:
    """20 people at rest with the action units they hold all the time, and one row of expressions at macro amplitude with a blink."""
    people = [*PARTS["development"].micro][:20]
    rest = []
    for number in people:
        who = face(number)
        rest.append(camera(who.render(np.stack([np.array(who.person.tonic, np.float32)] * 2)), size, [number]))
    shown = (("happiness", (6, 12)), ("surprise", (1, 2, 5, 26)), ("disgust", (4, 9, 10)), ("repression", (15, 17)), ("blink", ()))
    for number, (title, units) in zip(PARTS["development"].macro, shown, strict=False):
        who = face(number)
        levels = _levels(who, units, MACRO_PX) if units else np.zeros((2, len(ACTION_UNITS)), np.float32)
        gaze = Gaze(closed=0.0 if units else 1.0)
        rest.append(_titled(camera(who.render(levels, Pose(yaw=0.03), gaze), size, [number]), f"{title} 6 px" if units else title))
    return _sheet(rest, 5)


def action_units(size: int = 128) -> Picture:
    """Every action unit and some combinations: macro, micro, and the micro difference to rest magnified."""
    people = [identity.draw(number) for number in (*PARTS["development"].macro, *PARTS["development"].micro)]
    shaven = [p for p in people if p.beard == "none" and p.darkness < 0.6 and p.style.hairline < 5]  # little hides the skin
    man, woman = (face(min((p for p in shaven if p.feminine == wanted), key=lambda p: abs(p.age - 0.4)).number) for wanted in (False, True))
    cells = []
    for i, units in enumerate([*((unit,) for unit in ACTION_UNITS), *COMBINATIONS]):
        who = man if i % 2 else woman
        rest = camera(who.render(np.zeros((2, len(ACTION_UNITS)), np.float32)), size, None)
        macro, micro = (camera(who.render(_levels(who, units, px)), size, None) for px in (MACRO_PX, MICRO_PX))
        title = "AU " + "+".join(str(unit) for unit in units)
        row = [_titled(macro, title), _titled(micro, f"{MICRO_PX} px"), _titled(_difference(rest, micro, DIFFERENCE_GAIN), f"x{DIFFERENCE_GAIN}")]
        cells.append(np.hstack(row))
    return _sheet(cells, 3)


def clip(size: int = 160, columns: int = 8) -> Picture:
    """One micro clip over time, and its difference to the onset, with all nuisances."""
    data = SyntheticFaces("demo")
    table = data.table()
    chosen = table[(table.kind == "micro") & (table.aus == "6+12")].iloc[0]
    start, stop = int(chosen.start), int(chosen.stop)
    wanted = [int(f) for f in np.linspace(start, stop, columns)]
    frames = data.frames(str(chosen.sample_id), size, wanted)
    top = [_titled(image, f"{(f - start) * 1000 / chosen.fps:.0f} ms") for f, image in zip(wanted, frames, strict=True)]
    below = [_titled(_difference(frames[0], image, CLIP_GAIN), f"x{CLIP_GAIN}") for image in frames]
    return _sheet([*top, *below], columns)


def _save(path: Path, image: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{path} {path.stat().st_size / 1e6:.2f} MB")


def main(arguments: Sequence[str]) -> None:
    """Writes the three pictures into the folder named by the first argument."""
    parser = argparse.ArgumentParser(prog="merzoo.data.synthetic.pictures", description="Pictures of the synthetic faces")
    parser.add_argument("out", nargs="?", type=Path, default=Path("docs/pictures/synthetic"), help="folder (%(default)s)")
    out = parser.parse_args(arguments).out
    _save(out / "identities.png", identities())
    _save(out / "action_units.png", action_units())
    _save(out / "clip.png", clip())


if __name__ == "__main__":
    main(sys.argv[1:])
