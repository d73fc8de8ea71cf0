"""The picture of a prediction: when the face moved, how it looked, what changed, where the network looked, and what it says."""

from __future__ import annotations

import io
import math
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from merzoo.canvas import Canvas, stacked, text_width, wrapped

if TYPE_CHECKING:
    from merzoo.prediction import Event, Prediction

WIDTH, MARGIN, TILE, GAP = 1440, 48, 236, 16  # px
SHOWN = 3  # events with a row of their own
BARS = 7  # labels with a bar of their own
PAPER, INK, GREY, FAINT, RULE = "#fbfaf7", "#1d2430", "#667080", "#e9e6df", "#d5d1c7"
AMBER, AMBER_INK = "#fdf0cf", "#7a4d00"
ACCENTS, TINTS = ("#0f766e", "#4f46e5", "#c2410c"), ("#cfe6e1", "#dcdaf8", "#f6d9c8")
MICRO = 0.5  # s: the longest a micro-expression lasts (Yan et al. 2013)
GAINS = (1, 2, 3, 4, 6, 8, 12, 16)  # of the change between onset and apex


def draw(prediction: Prediction) -> Image.Image:
    """An RGB image 1440 px wide; its height grows with the number of events, of which the strongest three are shown."""
    shown = prediction.events[:SHOWN]
    blocks = [_header(prediction), _timeline(prediction)]
    blocks += [_row(prediction, event, number) for number, event in enumerate(shown)]
    return stacked([*blocks, _footer(prediction, len(prediction.events) - len(shown))])


def png(prediction: Prediction) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    draw(prediction).save(file, "PNG")
    return file.getvalue()


def change(onset: np.ndarray, apex: np.ndarray) -> tuple[np.ndarray, int]:
    """Apex minus onset around mid-grey, uint8 [S, S, 3], and the gain that makes it visible."""
    moved = (apex.astype(np.float32) - onset).mean(2)
    top = float(np.percentile(np.abs(moved), 98))
    gain = max((g for g in GAINS if g * top <= 120), default=1)
    grey = np.clip(128 + gain * moved, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), gain


def overlay(crop: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A heat map [h, w] in [0, 1] over a crop uint8 [S, S, 3]: what is cold keeps its grey, what is hot glows."""
    import cv2

    side = crop.shape[0]
    large = np.clip(cv2.resize(heat.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    glow = cv2.cvtColor(cv2.applyColorMap((255 * (0.25 + 0.75 * large)).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    grey = np.repeat(crop.mean(2, keepdims=True), 3, axis=2)
    weight = 0.7 * large[..., None] ** 0.8
    return np.rint((1 - weight) * grey + weight * glow).astype(np.uint8)


def _header(prediction: Prediction) -> Image.Image:
    inner = WIDTH - 2 * MARGIN
    name = PurePath(prediction.source).name or prediction.source
    title, facts = wrapped(name, 36, inner), wrapped(_facts(prediction), 19, inner)
    model = [prediction.model, f"preset {prediction.preset}", "random weights"]
    if prediction.weights:
        model[2:] = [f"weights {prediction.weights}", f"trained on {prediction.training}"]
    lines = wrapped("  ·  ".join(model), 19, inner)
    canvas = Canvas(WIDTH, 36 + 44 * len(title) + 28 * (len(facts) + len(lines)) + 60, PAPER)
    y = 36.0
    for line in title:
        canvas.text((MARGIN, y), line, 36, INK)
        y += 44
    y += 6
    for line, colour in [*((fact, GREY) for fact in facts), *((line, INK) for line in lines)]:
        canvas.text((MARGIN, y), line, 19, colour)
        y += 28
    canvas.box(MARGIN, y + 6, MARGIN + text_width(prediction.note, 18) + 32, y + 40, AMBER, radius=17)
    canvas.text((MARGIN + 16, y + 23), prediction.note, 18, AMBER_INK, anchor="lm")
    return canvas.finished()


def _facts(prediction: Prediction) -> str:
    facts = [f"{prediction.frames} frames"]
    if prediction.fps:
        facts.append(f"{prediction.frames / prediction.fps:.1f} s at {prediction.fps:g} frames a second")
    if prediction.face["detected_fraction"] is not None:
        x, y, w, h = prediction.face["box"]
        facts.append(f"face of {w} x {h} px at {x}, {y}, found in {prediction.face['detected_fraction']:.0%} of the frames")
    return "  ·  ".join(facts)


def _timeline(prediction: Prediction) -> Image.Image:
    """The whole recording from left to right; over each event's interval, how far the face had moved from its onset."""
    top, base, height = 66, 158, 214
    canvas = Canvas(WIDTH, height, PAPER)
    last = max(1, prediction.frames - 1)

    def x(frame: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * min(frame, last) / last

    furthest = max((d for event in prediction.events for _, d in event.motion), default=0.0)
    canvas.text((MARGIN, 18), f"When the face moved, and how far: at most {furthest:.1f} px of a face crop of 128 px", 17, GREY)
    canvas.box(MARGIN, top - 8, WIDTH - MARGIN, base, "#f3f1eb", radius=6)
    reach = max(0.5, furthest)
    for number, event in reversed(list(enumerate(prediction.events))):
        ink, tint = (ACCENTS[number], TINTS[number]) if number < SHOWN else (GREY, FAINT)
        canvas.box(x(event.onset), top - 8, max(x(event.offset), x(event.onset) + 2), base, tint)
        curve = [(x(frame), base - (base - top) * d / reach) for frame, d in event.motion]
        if len(curve) > 1:
            canvas.area([(curve[0][0], base), *curve, (curve[-1][0], base)], _mixed(ink, tint))
            canvas.line(curve, ink, 2)
        canvas.line([(x(event.apex), top - 8), (x(event.apex), base)], ink, 1.5)
        if number < SHOWN:
            _badge(canvas, (x(event.apex), top - 10), number)
    canvas.line([(MARGIN, base), (WIDTH - MARGIN, base)], GREY, 1)
    scale = prediction.fps or 1.0
    step = _nice(last / scale / 10, whole=not prediction.fps)
    for tick in range(int(last / scale / step) + 1):
        at = x(tick * step * scale)
        canvas.line([(at, base), (at, base + 6)], GREY, 1)
        label = f"{tick * step:g}" + (" s" if prediction.fps else "")
        canvas.text((at, base + 12), label if tick or prediction.fps else "frame 0", 15, GREY, anchor="la" if not tick else "ma")
    return canvas.finished()


def _row(prediction: Prediction, event: Event, number: int) -> Image.Image:
    canvas = Canvas(WIDTH, 372, PAPER)
    canvas.line([(MARGIN, 8), (WIDTH - MARGIN, 8)], RULE, 1)
    _badge(canvas, (MARGIN + 17, 46), number, 17)
    share = f"{event.probabilities[event.emotion]:.0%}"
    used = canvas.text((MARGIN + 48, 46), event.title, 30, INK, width=560, anchor="lm")
    used += 12 + canvas.text((MARGIN + 60 + used, 46), share, 30, ACCENTS[number], anchor="lm")
    when = _when(prediction, event)
    canvas.text((WIDTH - MARGIN, 46), when, 18, GREY, anchor="rm")
    if not event.confident:
        words = "No movement stands out; this is the strongest"
        left = MARGIN + 76 + used
        room = WIDTH - MARGIN - text_width(when, 18) - left - 48
        if room > 120:
            canvas.box(left, 31, left + min(room, text_width(words, 15)) + 24, 61, AMBER, radius=15)
            canvas.text((left + 12, 46), words, 15, AMBER_INK, width=room, anchor="lm")
    changed, gain = change(event.onset_crop, event.apex_crop)
    tiles = [("Onset", event.onset_crop), ("Apex", event.apex_crop), ("What changed" + (f", x{gain}" if gain > 1 else ""), changed)]
    if event.heat is not None:
        tiles.append(("Where the network looked", overlay(event.apex_crop, event.heat)))
    left = MARGIN
    for caption, pixels in tiles:
        canvas.text((left, 80), caption, 16, GREY)
        canvas.picture((left, 106), pixels, TILE)
        left += TILE + GAP
    _bars(canvas, event, left + 24, 108, ACCENTS[number])
    return canvas.finished()


def _bars(canvas: Canvas, event: Event, left: float, top: float, accent: str) -> None:
    """A bar a label, likeliest first; what does not fit is summed up in a last one."""
    ranked = sorted(event.probabilities.items(), key=lambda item: -item[1])
    if len(ranked) > BARS:
        rest = ranked[BARS - 1 :]
        alone = event.task == "classes"  # else the shares do not add up
        ranked = [*ranked[: BARS - 1], (f"{len(rest)} others", sum(p for _, p in rest)) if alone else (f"{len(rest)} others, at most", rest[0][1])]
    right, pitch = WIDTH - MARGIN, min(79.0, TILE / len(ranked))
    size = min(18, int(pitch / 2))
    for place, (label, p) in enumerate(ranked):
        y = top + place * pitch
        ink = INK if label in event.named else GREY
        canvas.text((left, y), label, size, ink, width=right - left - 60)
        canvas.text((right, y), f"{p:.0%}", size, ink, anchor="ra")
        bar = y + size + 8
        thick = max(5.0, min(12.0, pitch - size - 14))
        canvas.box(left, bar, right, bar + thick, FAINT, radius=thick / 2)
        if p >= 0.005:  # what is written as 0 % has no bar
            canvas.box(left, bar, left + max(thick, (right - left) * p), bar + thick, accent if label in event.named else "#a9b0ba", radius=thick / 2)


def _footer(prediction: Prediction, hidden: int) -> Image.Image:
    from merzoo.version import __version__

    canvas = Canvas(WIDTH, 64, PAPER)
    words = [] if prediction.events else ["No movement to name."]
    if hidden > 0:
        words.append(f"{hidden} weaker movement{'s' if hidden > 1 else ''} in prediction.json.")
    if prediction.fps and any(event.offset - event.onset > MICRO * prediction.fps for event in prediction.events):
        words.append("Micro-expressions last at most half a second; a longer movement is an ordinary expression.")
    canvas.text((MARGIN, 18), " ".join(words), 16, GREY)
    canvas.text((WIDTH - MARGIN, 18), f"merzoo {__version__}", 16, GREY, anchor="ra")
    return canvas.finished()


def _when(prediction: Prediction, event: Event) -> str:
    frames = f"frames {event.onset} to {event.offset}, apex {event.apex}"
    if not prediction.fps:
        return frames
    return f"{event.onset / prediction.fps:.2f} s to {event.offset / prediction.fps:.2f} s  ·  {frames}"


def _badge(canvas: Canvas, centre: tuple[float, float], number: int, radius: float = 13) -> None:
    canvas.disc(centre, radius, ACCENTS[number])
    canvas.text(centre, str(number + 1), round(radius * 1.25), "white", anchor="mm")


def _mixed(one: str, two: str, share: float = 0.35) -> tuple[int, int, int]:
    a, b = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (one, two))
    red, green, blue = (round(share * x + (1 - share) * y) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _nice(step: float, whole: bool) -> float:
    """The next of 1, 2, 5, 10, … above a step, at least 1 for whole numbers."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-6)))
    found = next(power * n for n in (1, 2, 5, 10) if power * n >= step)
    return max(1.0, found) if whole else found
