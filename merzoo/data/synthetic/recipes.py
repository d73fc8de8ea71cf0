"""What each action unit (AU, facial action coding system) does to a face, as data.

Places are offsets from named landmarks of the person (see `action_units.landmarks`), so the same recipe fits every face. Directions and places are those
of the image-right side and are mirrored. Displacements are divided by their own peak, so that intensity = peak displacement in pixels of a 128 px frame;
heights are per pixel of that.
The numbers are our choice, tuned by eye against the descriptions of the coding system; no data were fitted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pull:
    """Skin drawn in a direction, strongest at a place and fading as a Gaussian (units)."""

    at: str
    dx: float
    dy: float
    vx: float
    vy: float
    sx: float
    sy: float
    sy_up: float | None = None  # sigma above the centre, where it differs


@dataclass(frozen=True)
class Bulge:
    """Skin that rises (or sinks, height < 0) by `height` units per pixel of intensity."""

    at: str
    dx: float
    dy: float
    sx: float
    sy: float
    height: float


@dataclass(frozen=True)
class Fold:
    """A furrow along points (landmark, dx, dy): `depth` units per pixel, times the person's wrinkle factor."""

    points: tuple[tuple[str, float, float], ...]
    width: float
    depth: float


@dataclass(frozen=True)
class ActionUnit:
    """One row of the table."""

    number: int
    name: str
    pulls: tuple[Pull, ...] = ()
    bulges: tuple[Bulge, ...] = ()
    folds: tuple[Fold, ...] = ()
    squeeze: float = 0.0  # lips pressed towards the lip line, share of the intensity
    jaw: float = 0.0  # whole jaw lowered, share of the intensity
    opening: float = 0.0  # px of parted lips per px
    lid_up: float = 0.0  # px by which the upper lid rises per px
    lid_low: float = 0.0  # px by which the lower lid sinks per px
    scaled: bool = True  # divided by its peak; not where lids or lips, a layer of their own, carry the motion
    under_hair: bool = False  # fades out towards the hairline, else hair moves with the forehead
    dimples: float = 0.0  # units of chin dimpling per px
    safe: float = 8.0  # px: above this the skin would fold over itself


def _forehead(x0: float, x1: float, depth: float) -> tuple[Fold, ...]:
    return tuple(
        Fold((("brow_mid", x0, y + 0.6), ("brow_mid", (x0 + x1) / 2, y), ("brow_mid", x1, y + 0.8)), 1.1, depth) for y in (-9.0, -14.5, -20.0)
    )


NASOLABIAL = (("ala", 1.8, -1.0), ("ala", 5.5, 6.0), ("corner", 4.3, -4.0), ("corner", 5.3, 3.0))

TABLE: tuple[ActionUnit, ...] = (
    ActionUnit(
        1, "inner brow raiser", under_hair=True,
        pulls=(Pull("brow_in", 2, 0, -0.10, -1, 8, 5, 13),),
        bulges=(Bulge("brow_in", 2, -4, 7, 3, 0.45),),
        folds=_forehead(0.01, 13, 0.34),
    ),
    ActionUnit(
        2, "outer brow raiser", under_hair=True,
        pulls=(Pull("brow_out", -3, 0, 0.05, -1, 8, 5, 13),),
        bulges=(Bulge("brow_out", -4, -4, 7, 3, 0.45),),
        folds=_forehead(14, 29, 0.32),
    ),
    ActionUnit(
        4, "brow lowerer",
        pulls=(Pull("brow_in", 1, 1, -0.75, 0.75, 7, 6, 8), Pull("brow_in", 10, 1, -0.15, 0.55, 8, 5, 7)),
        bulges=(Bulge("brow_in", 1, -1, 4, 3.5, 0.55), Bulge("brow_mid", 0, 0, 1.6, 5, 0.15)),
        folds=(
            Fold((("brow_mid", 3.2, -7), ("brow_mid", 2.7, 0), ("brow_mid", 3.6, 5)), 0.95, 0.65),
            Fold((("eye_mid", 0.01, -5), ("eye_mid", 5, -4)), 1.0, 0.35),
        ),
        lid_up=-0.12,
    ),
    ActionUnit(
        5, "upper lid raiser", scaled=False,
        pulls=(Pull("lid", 0, -2.5, 0, -0.3, 7.5, 3.2),), bulges=(Bulge("lid", 0, -3, 6.5, 2.6, -0.12),), lid_up=0.6, safe=4.0,
    ),
    ActionUnit(
        6, "cheek raiser",
        pulls=(Pull("cheek", 5, 0, -0.12, -1, 9, 6.5), Pull("eye", 9, 1, -0.35, 0, 4, 4)),
        bulges=(Bulge("cheek", 4.5, -2, 8, 4.5, 0.75),),
        folds=(
            Fold((("eye", -6, 6), ("eye", 1, 8.5), ("eye", 8, 6)), 1.0, 0.50),
            *(Fold((("lid_out", 2, y0), ("lid_out", 7.5, y1)), 0.8, 0.45) for y0, y1 in ((-1.0, -4.5), (0.5, 0.0), (2.0, 4.5))),
        ),
        lid_up=-0.05, lid_low=-0.40,
    ),
    ActionUnit(
        7, "lid tightener", scaled=False,
        pulls=(Pull("eye", 0, 4, -0.05, -0.8, 7, 3), Pull("eye", 0, -5, 0, 0.3, 7, 2.5)),
        bulges=(Bulge("eye", 0, 4.2, 6, 1.5, 0.5),),
        folds=(Fold((("eye", -6, 5), ("eye", 0, 6.6), ("eye", 6, 5)), 0.9, 0.35),),
        lid_up=-0.35, lid_low=-0.55, safe=5.0,
    ),
    ActionUnit(
        9, "nose wrinkler", safe=6.0,
        pulls=(Pull("ala", -0.5, -2, 0, -1, 5, 6, 7), Pull("brow_in", 0, 3, -0.3, 0.55, 6, 5), Pull("lip_up", 6, -2, 0, -0.35, 6, 4)),
        bulges=(Bulge("ala", -1, -3, 2.5, 3, 0.4), Bulge("eye_mid", 6, 3, 3, 4, 0.35)),
        folds=(
            *(Fold((("eye_mid", 0.5, y), ("eye_mid", 6, y - 3.5)), 0.9, 0.5) for y in (0.0, 4.0, 8.0)),
            Fold(NASOLABIAL[:2], 1.2, 0.7),
        ),
    ),
    ActionUnit(
        10, "upper lip raiser",
        pulls=(Pull("lip_up", 6.5, 0, 0.05, -1, 6, 3.2, 6), Pull("ala", 4, 3, 0.05, -0.5, 5, 5)),
        bulges=(Bulge("ala", 6, 0, 4, 4.5, 0.55), Bulge("lip_up", 5, 0, 5, 1.8, 0.35)),
        folds=(Fold(NASOLABIAL[:3], 1.2, 0.75),),
    ),
    ActionUnit(
        12, "lip corner puller",
        pulls=(Pull("corner", 0, 0, 0.72, -0.72, 7.5, 6.5, 7.5), Pull("cheek", 5, 8, 0.05, -0.42, 8, 8)),
        bulges=(Bulge("cheek", 5.5, 7, 7, 6, 0.70), Bulge("corner", 1.5, 0, 2, 2.5, -0.35)),
        folds=(Fold(NASOLABIAL, 1.25, 0.80),),
    ),
    ActionUnit(
        14, "dimpler", safe=6.0,
        pulls=(Pull("corner", 0, 0, 0.9, -0.05, 4.5, 4.5), Pull("corner", 9, 0, -0.45, 0, 4, 6)),
        bulges=(Bulge("corner", 2.6, 0, 1.5, 2.6, -1.0), Bulge("corner", 7, 0, 2.5, 4.5, 0.5)),
    ),
    ActionUnit(
        15, "lip corner depressor",
        pulls=(Pull("corner", -0.5, 0.5, 0.10, 1, 6, 7, 5), Pull("corner", -1, 8, 0.05, 0.35, 6, 5)),
        bulges=(Bulge("corner", -2, 6, 3, 2.5, 0.5),),
        folds=(Fold((("corner", 1, 1), ("corner", 3.3, 6), ("corner", 2.6, 11)), 1.1, 0.7),),
    ),
    ActionUnit(
        17, "chin raiser", dimples=0.25,
        pulls=(Pull("mouth", 0, 12, 0, -1, 10, 6, 6), Pull("lip_low", 0, -1.4, 0, -0.84, 9, 4, 5)),
        bulges=(Bulge("mouth", 0, 13.5, 8, 4.5, 0.35), Bulge("mouth", 0, 3, 9, 2, 0.15)),
        folds=(Fold((("lip_low", 0.01, 4.2), ("lip_low", 6, 4.6), ("lip_low", 10, 6)), 1.3, 0.55),),
    ),
    ActionUnit(
        20, "lip stretcher",
        pulls=(Pull("corner", 0, 0.5, 1, 0.15, 8.5, 7), Pull("corner", -1, 9, 0.35, 0.15, 7, 6)),
        bulges=(Bulge("mouth", 0, 3, 10, 3, -0.2),),
        folds=(Fold((("corner", 4, -3), ("corner", 6, 4), ("corner", 5, 9)), 1.2, 0.45),),
    ),
    ActionUnit(
        23, "lip tightener", safe=6.0, squeeze=0.6,
        pulls=(Pull("corner", -1, 0, -0.7, 0, 6, 5),),
        bulges=(Bulge("mouth", 0, -1.8, 9, 1.2, -0.28), Bulge("mouth", 0, 2.5, 9, 1.5, -0.35)),
    ),
    ActionUnit(
        24, "lip pressor", squeeze=0.9,
        bulges=(
            Bulge("mouth", 0, -1.6, 9, 1.1, -0.35), Bulge("mouth", 0, 2.4, 9, 1.4, -0.45),
            Bulge("lip_up", 5, -2, 7, 1.5, 0.3), Bulge("lip_low", 5, 2.2, 8, 1.6, 0.35),
        ),
    ),
    ActionUnit(25, "lips part", scaled=False, pulls=(Pull("mouth", 0, 10, 0, 0.6, 10, 7),), opening=1.0),
    ActionUnit(26, "jaw drop", jaw=1.0, opening=0.85),
)  # fmt: skip

ACTION_UNITS: tuple[int, ...] = tuple(row.number for row in TABLE)
INDEX: dict[int, int] = {number: i for i, number in enumerate(ACTION_UNITS)}
