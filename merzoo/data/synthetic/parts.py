"""Which identities and clips make up each part of the synthetic data, as data. No identity number occurs twice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Numbers of the people of a part and how many clips each has."""

    code: int  # goes into every seed
    purpose: str
    micro: range
    micro_clips: int
    macro: range  # other people than in `micro`: a pretext trained on them has never met a test subject
    macro_clips: int
    macro_frames: int = 24


PARTS: dict[str, Part] = {
    "weights": Part(1, "training of the weights that ship", range(1000, 1048), 10, range(1100, 1148), 3),
    "development": Part(2, "choosing settings", range(2000, 2024), 10, range(2100, 2124), 3),
    "benchmark": Part(3, "scores that are reported; nothing is tuned on it", range(3000, 3024), 10, range(3100, 3124), 3),
    "demo": Part(4, "a first run in minutes", range(4000, 4008), 8, range(4100, 4108), 2),
    "tiny": Part(5, "tests", range(5000, 5004), 4, range(5100, 5103), 1, 12),
}
