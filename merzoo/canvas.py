"""A sheet to draw on with Pillow: text that never shows an empty box or runs out of its column, smooth shapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from merzoo.text import plain

FINE = 2  # drawn this many times larger and shrunk at the end: Pillow's shapes have no smooth edges of their own
SMALLEST = 12  # px: text that must fit a column shrinks to this and is then shortened in its middle

Colour = str | tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A sheet of width x height px. Coordinates are px from the top left; text is placed by its top left, centre or right."""

    def __init__(self, width: int, height: int, background: Colour = "white") -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * FINE, height * FINE), background)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, at: Point, words: str, size: int, colour: Colour, width: float | None = None, anchor: str = "la", smallest: int = SMALLEST) -> float:
        """Write one line and return its width. With `width` it shrinks to `smallest` px of height, then loses its middle to …, until it fits."""
        words, size = drawable(words), size
        if width is not None:
            while size > smallest and text_width(words, size) > width:
                size -= 1
            words = _shortened(words, size, width)
        self._draw.text((at[0] * FINE, at[1] * FINE), words, fill=colour, font=_font(size * FINE), anchor=anchor)
        return text_width(words, size)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour | None, radius: float = 0, outline: Colour | None = None) -> None:
        """A filled rectangle with round corners."""
        if right > left and bottom > top:
            corners = [v * FINE for v in (left, top, right, bottom)]
            self._draw.rounded_rectangle(corners, radius * FINE, fill=fill, outline=outline, width=FINE)

    def disc(self, centre: Point, radius: float, fill: Colour) -> None:
        """A filled circle."""
        x, y = centre
        self._draw.ellipse([v * FINE for v in (x - radius, y - radius, x + radius, y + radius)], fill=fill)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1) -> None:
        """A line through points."""
        self._draw.line([(x * FINE, y * FINE) for x, y in points], fill=colour, width=max(1, round(width * FINE)), joint="curve")

    def area(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * FINE, y * FINE) for x, y in points], fill=fill)

    def picture(self, at: Point, pixels: np.ndarray, side: int, radius: int = 10) -> None:
        """A square uint8 [S, S, 3] at `side` px with round corners."""
        tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((side * FINE,) * 2, Image.Resampling.BICUBIC)
        mask = Image.new("L", tile.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, tile.width - 1, tile.height - 1), radius * FINE, fill=255)
        self._image.paste(tile, (round(at[0] * FINE), round(at[1] * FINE)), mask)

    def finished(self) -> Image.Image:
        """The sheet at its own size."""
        return self._image.reduce(FINE)


def drawable(words: object) -> str:
    """Text in signs that the font has: controls escaped, accents dropped where their letter is known, everything else as its code (\\u4e2d)."""
    return "".join(c if _has(c) else _spelled(c) for c in plain(words))


def text_width(words: str, size: int) -> float:
    """Width in px of a drawable line."""
    return _font(size * FINE).getlength(words) / FINE


def wrapped(words: object, size: int, width: float) -> list[str]:
    """Drawable lines no wider than `width`, broken at spaces where there are any, else anywhere. Nothing is lost."""
    lines = [""]
    for word in drawable(words).split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(longer, size) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for c in word:
            if lines[-1] and text_width(lines[-1] + c, size) > width:
                lines.append("")
            lines[-1] += c
    return lines


def stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    """Blocks of one width, one below the other."""
    sheet = Image.new("RGB", (blocks[0].width, sum(block.height for block in blocks)))
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def _shortened(words: str, size: int, width: float) -> str:
    keep = len(words)
    short = words
    while keep > 2 and text_width(short, size) > width:
        keep -= 1
        short = f"{words[: (keep + 1) // 2]}…{words[len(words) - keep // 2 :]}"
    return short


def _spelled(c: str) -> str:
    decomposed = "".join(part for part in unicodedata.normalize("NFKD", c) if not unicodedata.combining(part))
    if decomposed and all(_has(part) for part in decomposed):
        return decomposed
    return c.encode("unicode_escape").decode("ascii")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)  # the one inside Pillow: the same picture on every machine
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@cache
def _has(c: str) -> bool:
    """Whether the font has this sign; what it lacks it draws as one and the same empty box."""
    font = _font(20)
    return c == " " or bytes(font.getmask(c)) != bytes(font.getmask("\uffff"))
