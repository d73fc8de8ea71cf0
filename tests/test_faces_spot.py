"""Facial motion and candidate intervals: known movements rendered on a real face, with noise and head drift."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from merzoo.faces.align import Aligner, crop, similarity
from merzoo.faces.motion import SIZE, HeldFace, between
from merzoo.faces.speed import speed_curves
from merzoo.faces.spot import locate, movement_starts, spot
from merzoo.faces.track import FaceTrack, track_faces
from merzoo.faces.video import FrameSource, open_source

cv2 = pytest.importorskip("cv2")
MEDIA = Path(__file__).resolve().parents[2] / "shared/data/faces"


@pytest.fixture(scope="module")
def video() -> FrameSource:
    path = MEDIA / "single_face.mp4"
    if not path.is_file():
        pytest.skip("the real face media is not here (../shared/data/faces)")
    return open_source(path)


@pytest.fixture(scope="module")
def face(video: FrameSource) -> np.ndarray:
    """Canonical grey crop, 256 px, of the neutral face."""
    track = track_faces(open_source(np.stack(list(video.frames(0, 5)))))[0]
    return cv2.cvtColor(crop(next(iter(video)), Aligner().transform(track, 0), 256), cv2.COLOR_RGB2GRAY)


def moved(face: np.ndarray, smile: float, drift: tuple[float, float] = (0, 0), turn: float = 0, noise: float = 0, seed: int = 0) -> np.ndarray:
    """The 256 px crop with the mouth's corners drawn up and out by `smile`, and the head by `drift` (px of the 128 px crop) and `turn` (degrees)."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    u, v = np.zeros_like(x), np.zeros_like(x)
    for side in (-1, 1):
        bump = np.exp(-(((x - 128 - side * 28) ** 2 + (y - 182) ** 2) / (2 * 14**2))) * 2 * 0.7 * smile
        u, v = u + side * bump, v - bump
    warped = cv2.remap(face, np.float32(x - u), np.float32(y - v), cv2.INTER_CUBIC)
    head = cv2.getRotationMatrix2D((128, 128), turn, 1)
    head[:, 2] += 2 * np.array(drift)
    warped = cv2.warpAffine(warped, head, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(float)
    if noise:
        warped += np.random.default_rng(seed).normal(0, noise, warped.shape)
    return warped.clip(0, 255).round().astype(np.uint8)


def small(grey: np.ndarray) -> np.ndarray:
    return cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def crops_track(count: int) -> FaceTrack:
    """The track of frames that are 256 px canonical crops."""
    box = np.tile(np.array([0, 0, 256, 256], np.float32), (count, 1))
    eyes = np.tile(np.array([[92.5, 102.5], [162.5, 102.5]], np.float32), (count, 1, 1))
    return FaceTrack(box, np.ones(count, bool), eyes)


def envelope(index: int, onset: int, apex: int, offset: int) -> float:
    if onset <= index <= apex:
        return 0.5 - 0.5 * np.cos(np.pi * (index - onset) / (apex - onset))
    return 0.5 + 0.5 * np.cos(np.pi * (index - apex) / (offset - apex)) if apex < index < offset else 0.0


def test_motion_grows_with_the_muscle_not_with_the_head(face: np.ndarray) -> None:
    still = small(moved(face, 0, noise=2, seed=1))
    amounts = [between(still, small(moved(face, amount, noise=2, seed=2))) for amount in (0, 0.5, 1, 2, 4)]
    assert amounts[0] < 0.12 and all(b > 1.5 * a for a, b in pairwise(amounts)), amounts
    head = between(still, small(moved(face, 0, drift=(2, -1), turn=1, noise=2, seed=3)))
    assert head < 0.5 * amounts[2], (head, amounts)  # 2 px and a degree of head: less than half of a 1 px smile
    assert between(still, small(moved(face, 1, drift=(2, -1), turn=1, noise=2, seed=3))) == pytest.approx(amounts[2], rel=0.35)


def test_head_motion_is_taken_out_and_the_smile_left(face: np.ndarray) -> None:
    held = similarity(np.array([[92.5, 102.5], [162.5, 102.5]]))
    steady = HeldFace(face, held)
    for step in range(1, 13):  # a slow walk to 9 px, farther than one look could measure
        frame = moved(face, 1.5, drift=(0.75 * step, -0.4 * step), turn=0.2 * step)
        steady.add(frame)
    points = np.array([[64, 70, 1], [44, 60, 1], [84, 60, 1.0]])
    head = np.vstack([cv2.getRotationMatrix2D((63.75, 63.75), 2.4, 1), [0, 0, 1]])
    head[:2, 2] += [9, -4.8]
    back = np.vstack([steady.transform, [0, 0, 1]]) @ np.linalg.inv(np.vstack([held, [0, 0, 1]]))
    assert np.abs((points @ (back @ head).T)[:, :2] - points[:, :2]).max() < 0.4
    kept = between(small(crop(face, held, 256)), small(crop(frame, steady.transform, 256)))
    assert kept == pytest.approx(between(small(face), small(moved(face, 1.5))), rel=0.3)


def test_a_strong_smile_is_not_taken_for_the_head(face: np.ndarray) -> None:
    held = similarity(np.array([[92.5, 102.5], [162.5, 102.5]]))
    steady = HeldFace(face, held)
    for smile in (2, 4, 6, 8):
        steady.add(moved(face, smile))
    points = np.array([[128, 140, 1], [88, 120, 1], [168, 120, 1.0]])
    assert np.abs(points @ (steady.transform - held).T).max() < 0.1


def test_locate() -> None:
    curve = np.array([0, 0, 0, 0.1, 1, 3, 5, 6, 5, 3, 1, 0.2, 0])
    assert locate(curve) == (3, 7, 10)
    held = np.array([0, 0, 2, 4, 4.1, 4.2, 4.1, 4.0])  # still smiling at the end
    assert locate(held) == (1, 5, 7)
    half = np.array([0, 3, 6, 6, 5, 4, 3, 4, 4])  # goes half back
    assert locate(half)[2] == 6
    assert locate(np.zeros(5))[1] >= 1  # a still clip keeps two different frames


def test_movement_starts() -> None:
    speed = np.full(60, 0.1)
    speed[20:24], speed[40:42] = 1.0, 0.45
    starts = movement_starts(speed, 3)
    assert [(s.sample, s.speed) for s in starts] == [(17, 1.0), (37, 0.45)]
    assert movement_starts(np.full(60, 0.1), 3) == []
    assert movement_starts(np.linspace(0.5, 0.6, 60), 3) == []  # always moving like that: usual here


@pytest.mark.parametrize(("noise", "drift"), [(1, 0.0), (3, 0.5)])
def test_two_events_are_found_at_their_places(face: np.ndarray, noise: float, drift: float) -> None:
    events = [(15, 21, 27), (45, 52, 58)]
    frames = []
    for i in range(72):
        smile = 1.5 * sum(envelope(i, *e) for e in events)
        frames.append(moved(face, smile, drift=(drift * np.sin(i / 9), drift * np.cos(i / 7)), noise=noise, seed=i))
    found = spot(open_source(np.stack(frames), fps=30), [crops_track(72)], Aligner())[0]
    assert len(found) == 2 and all(c.confident for c in found)
    for candidate, (onset, apex, offset) in zip(sorted(found, key=lambda c: c.interval.start), events, strict=True):
        interval = candidate.interval
        assert abs(interval.start - onset) <= 3 and abs(interval.peak - apex) <= 2 and abs(interval.stop - offset) <= 4
    assert found[0].strength >= found[1].strength
    assert len(spot(open_source(np.stack(frames), fps=30), [crops_track(72)], Aligner(), most=1)[0]) == 1


def test_a_fast_recording_gives_the_same_event_in_its_own_frame_numbers(face: np.ndarray) -> None:
    frames = np.stack([moved(face, 1.5 * envelope(i, 100, 140, 180), noise=1, seed=i) for i in range(260)])
    (found,) = spot(open_source(frames, fps=200), [crops_track(260)], Aligner())[0]
    assert found.confident and abs(found.interval.peak - 140) <= 8
    assert abs(found.interval.start - 100) <= 16 and abs(found.interval.stop - 180) <= 24


def test_nothing_moves_gives_one_unsure_candidate(face: np.ndarray) -> None:
    frames = np.stack([moved(face, 0, noise=2, seed=i) for i in range(40)])
    (found,) = spot(open_source(frames, fps=30), [crops_track(40)], Aligner())[0]
    assert not found.confident and found.strength < 0.2


def test_a_clip_cut_from_onset_to_offset_is_one_event(face: np.ndarray) -> None:
    frames = np.stack([moved(face, envelope(i, 0, 7, 15), noise=1, seed=i) for i in range(16)])
    (found,) = spot(open_source(frames, fps=30), [crops_track(16)], Aligner())[0]
    assert found.interval.start <= 2 and abs(found.interval.peak - 7) <= 1 and 11 <= found.interval.stop <= 15


def test_no_speed_while_the_face_is_away(face: np.ndarray) -> None:
    frames = np.stack([moved(face, 3 * (i % 2)) for i in range(12)])
    track = crops_track(12)
    away = FaceTrack(track.boxes, np.arange(12) < 4, track.eyes)
    speed = speed_curves(open_source(frames, fps=30), [away], Aligner())[0]
    assert speed[1] > 0.5 and speed[8:].max() == 0


def test_the_real_smile(video: FrameSource) -> None:
    (track,) = track_faces(video)
    found = spot(video, [track], Aligner())[0]
    assert len(found) == 1 and found[0].confident
    interval = found[0].interval
    assert 10 <= interval.start <= 17 and 22 <= interval.peak <= 66 and interval.stop >= 68  # neutral until 15, smile from 20 to 69
