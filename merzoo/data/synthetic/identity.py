"""Who: everything that makes one synthetic person, drawn from the person's number alone.

Lengths are in units (pixels of a 128 px frame), x from the mid-line, y from the top. Means follow adult proportions; the spread of mouth corners,
brows and lids (1 to 2 units) is at least as large as a micro-expression, which is what keeps a single frame from telling the emotion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merzoo.data.synthetic.recipes import ACTION_UNITS

GENERATOR_SEED = 1  # the generator's version as a number: part of every seed
STREAM_PERSON = 11

HABITUAL = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 24)  # action units people hold without meaning anything by it
SKIN_LIGHT, SKIN_DARK = np.array([0.95, 0.76, 0.645]), np.array([0.42, 0.27, 0.195])
HAIR_COLOURS = {  # linear RGB
    "black": (0.055, 0.045, 0.045),
    "dark brown": (0.12, 0.08, 0.06),
    "brown": (0.24, 0.15, 0.10),
    "auburn": (0.33, 0.15, 0.08),
    "blond": (0.56, 0.42, 0.25),
    "grey": (0.48, 0.47, 0.46),
}
IRIS_COLOURS = ((0.20, 0.12, 0.08), (0.28, 0.17, 0.10), (0.40, 0.28, 0.15), (0.35, 0.45, 0.55), (0.30, 0.42, 0.30))


@dataclass(frozen=True)
class HairStyle:
    """How hair lies round a face."""

    hairline: float  # units added to the person's hairline
    sides_to: float  # y at which the hair beside the face ends
    volume: float  # units beyond the head
    overlap: float  # units of the face's edge that hair covers at the sides
    curl: float  # units by which strands wave
    parting: float  # half-width of the notch that a parting cuts, 0 for none
    ears: bool  # whether the ears show


STYLES = {
    "cropped": HairStyle(0, 50, 1.2, 1.0, 0.3, 0, True),
    "short": HairStyle(-1, 57, 4.0, 2.0, 0.8, 8, True),
    "curly": HairStyle(0, 66, 8.0, 2.5, 2.6, 0, True),
    "receding": HairStyle(-10, 55, 1.5, 1.5, 0.5, 0, True),
    "tied back": HairStyle(-2, 52, 2.0, 1.5, 0.4, 5, True),
    "bob": HairStyle(-1, 101, 7.5, 5.0, 0.8, 9, False),
    "long": HairStyle(-2, 160, 8.5, 4.5, 1.3, 12, False),
    "fringe": HairStyle(8, 160, 7.0, 4.5, 0.6, 0, False),
    "long curls": HairStyle(-1, 160, 11.0, 4.0, 3.4, 7, False),
}
STYLES_MASCULINE, STYLES_FEMININE = ("cropped", "short", "short", "curly", "receding"), ("tied back", "bob", "long", "long", "fringe", "long curls")


@dataclass(frozen=True)
class Identity:
    """One person. Lengths in units of 1/128 frame, angles in radians, colours linear RGB, levels in pixels of displacement."""

    number: int
    feminine: bool
    age: float  # 0 young, 1 old: depth of wrinkles
    head_width: float  # half width at the eyes
    jaw: float  # width of the jaw over that of the head
    jaw_power: float  # 2 round, higher squarer
    chin: float  # y
    hairline: float  # y at the mid-line
    brow_in: float  # x
    brow_out: float  # x
    brow_y: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    eye_x: float
    eye_y: float
    eye_width: float  # half width
    eye_up: float  # opening above the centre
    eye_low: float  # opening below the centre
    eye_tilt: float  # dy/dx of the eye's axis
    crease: float  # height of the lid crease above the lid
    nose_y: float  # tip
    nose_width: float  # x of the wing
    nose_height: float  # depth
    mouth_y: float
    mouth_width: float  # half width
    lip_up: float
    lip_low: float
    mouth_curve: float
    cheek: float  # depth of the cheek
    skin: tuple[float, float, float]
    darkness: float  # of the skin, 0 to 1
    blush: float
    hair: tuple[float, float, float]
    style: HairStyle
    parting_x: float
    beard: str  # "none", "stubble", "moustache", "full"
    lipstick: float  # 0 none, 1 strong
    iris: tuple[float, float, float]
    backdrop: tuple[float, float, float]
    clothes: tuple[float, float, float]
    light: tuple[float, float, float]  # unit vector to the light; z towards the viewer
    ambient: float
    gloss: float
    gain: tuple[float, ...]  # per action unit: how strongly this face shows it
    asymmetry: tuple[float, ...]  # per action unit: share by which the image-right side is stronger
    habits: tuple[int, ...]  # three action units
    tonic: tuple[float, ...]  # per action unit: level held in every frame, px

    @property
    def wrinkle(self) -> float:
        """Factor on the depth of expression furrows."""
        return 0.6 + 0.6 * self.age

    def seeded(self, stream: int) -> np.random.Generator:
        """The person's own generator for one purpose, so that painting the hair never changes the freckles."""
        return np.random.default_rng([GENERATOR_SEED, self.number, stream])


def _light(rng: np.random.Generator) -> tuple[float, float, float]:
    azimuth, elevation = rng.uniform(-0.75, 0.75), rng.uniform(0.2, 0.75)  # rad
    return float(np.sin(azimuth) * np.cos(elevation)), float(-np.sin(elevation)), float(np.cos(azimuth) * np.cos(elevation))


def _hair_colour(rng: np.random.Generator, darkness: float, age: float) -> tuple[float, float, float]:
    if age > 0.8 and rng.uniform() < 0.7:
        name = "grey"
    elif darkness > 0.45:
        name = str(rng.choice(["black", "black", "dark brown"]))
    else:
        name = str(rng.choice(["black", "dark brown", "dark brown", "brown", "brown", "auburn", "blond", "blond"]))
    r, g, b = np.array(HAIR_COLOURS[name]) * rng.uniform(0.85, 1.15)
    return float(r), float(g), float(b)


def _features(rng: np.random.Generator, f: float) -> dict[str, float]:
    """Landmarks. f is 1 for feminine faces: thinner, higher brows, larger eyes, fuller lips, narrower jaw and nose."""

    def n(mean: float, sd: float) -> float:  # clipped at two sigma: no monsters
        return float(mean + sd * np.clip(rng.standard_normal(), -2, 2))

    return {
        "head_width": n(41.5 - 1.2 * f, 1.7), "jaw": n(0.93 - 0.05 * f, 0.04), "jaw_power": n(2.35 - 0.15 * f, 0.15), "chin": n(117.5 - 2.8 * f, 1.6),
        "hairline": n(15, 2.5), "brow_in": n(8.5, 0.9), "brow_out": n(27.5, 1.3), "brow_y": n(40.3 - 0.8 * f, 1.4), "brow_arch": n(2.4 + 1.3 * f, 0.9),
        "brow_tilt": n(0, 0.9), "brow_thickness": n(2.15 - 0.7 * f, 0.35), "eye_x": n(17.5, 0.9), "eye_y": n(51, 0.8), "eye_width": n(8.5 + 0.3 * f, 0.5),
        "eye_up": n(3.6 + 0.5 * f, 0.4), "eye_low": n(2.2 + 0.1 * f, 0.25), "eye_tilt": n(0.05, 0.06), "crease": n(2.2, 0.5),
        "nose_y": n(75 - 1.5 * f, 1.5), "nose_width": n(7.9 - 0.8 * f, 0.8), "nose_height": n(12.5 - 1.5 * f, 1.5),
        "mouth_y": n(93 - 1.0 * f, 1.3), "mouth_width": n(14.6 - 0.7 * f, 1.1), "lip_up": n(3.1 + 0.7 * f, 0.6), "lip_low": n(4.5 + 0.7 * f, 0.7),
        "mouth_curve": n(0, 0.9), "cheek": n(4, 0.9),
    }  # fmt: skip


def draw(number: int) -> Identity:
    """The person with this number: always the same one."""
    rng = np.random.default_rng([GENERATOR_SEED, number, STREAM_PERSON])
    feminine = bool(rng.uniform() < 0.5)
    features = _features(rng, float(feminine))
    age, darkness = float(rng.uniform(0, 0.95) ** 1.2), float(rng.uniform() ** 1.1)
    undertone = np.array([0.0, 0.010, -0.016]) * float(np.clip(rng.normal(), -1.2, 1.6))  # pink to olive
    skin = np.clip(SKIN_LIGHT * (1 - darkness) + SKIN_DARK * darkness + undertone + rng.normal(0, 0.012, 3), 0.12, 0.97)
    style = STYLES[str(rng.choice(STYLES_FEMININE if feminine else STYLES_MASCULINE))]
    beard = "none" if feminine else str(rng.choice(["none", "none", "none", "stubble", "stubble", "moustache", "full"]))
    units = len(ACTION_UNITS)
    habits = tuple(sorted(int(a) for a in rng.choice(HABITUAL, 3, replace=False)))
    levels = {a: float(rng.uniform(0, 1)) for a in habits}  # px
    backdrop = rng.uniform(0.2, 0.72) + rng.normal(0, 0.035, 3)
    clothes = np.clip(rng.uniform(0.08, 0.75) + rng.normal(0, 0.12, 3), 0.04, 0.9)
    return Identity(
        number=number, feminine=feminine, age=age, **features, skin=tuple(skin), darkness=darkness, blush=float(rng.uniform(0.4, 1.1)),
        hair=_hair_colour(rng, darkness, age), style=style, parting_x=float(rng.uniform(-16, 16)), beard=beard,
        lipstick=float(rng.uniform(0, 1) ** 1.5) if feminine else 0.0,
        iris=IRIS_COLOURS[int(rng.integers(0, 5 if darkness < 0.4 else 2))], backdrop=tuple(backdrop), clothes=tuple(clothes),
        light=_light(rng), ambient=float(rng.uniform(0.38, 0.55)), gloss=float(rng.uniform(0.03, 0.11)),
        gain=tuple(np.exp(rng.normal(0, 0.25, units))), asymmetry=tuple(np.clip(rng.normal(0, 0.15, units), -0.4, 0.4)),
        habits=habits, tonic=tuple(levels.get(a, 0.0) for a in ACTION_UNITS),
    )  # fmt: skip
