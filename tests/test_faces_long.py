"""Long recordings: how often they are read, what is looked at, what is in memory, and that it is as good as looking at every frame."""

from __future__ import annotations

import importlib
import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
import pytest

from merzoo.errors import MerzooWarning
from merzoo.faces.align import Aligner
from merzoo.faces.clip import face_clips
from merzoo.faces.closer import CloserLook
from merzoo.faces.detect import FaceDetector, as_grey
from merzoo.faces.track import DENSE, FaceTrack, track_faces
from merzoo.faces.video import FrameSource
from merzoo.interval import Interval

cv2 = pytest.importorskip("cv2")
tracking = importlib.import_module("merzoo.faces.track")
meter = importlib.import_module("merzoo.faces.meter")
HEIGHT, WIDTH, FACE = 180, 240, 150


class Recording(FrameSource):
    """Frames made when they are asked for. Counts readings, pictures, and pictures that are alive at once."""

    def __init__(self, paint: Callable[[int], np.ndarray], length: int) -> None:
        self.name, self.fps, self.declared_frames = "recording", 30.0, length
        self.paint, self.length = paint, length
        self.asked: list[int] = []
        self.readings = self.pictures = self.alive = self.most = 0

    def visit(self) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
        self.readings += 1
        for index in range(self.length):
            yield index, lambda index=index: self._picture(index)

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        self.readings += 1
        for index in range(self.length) if wanted is None else wanted:
            if index >= self.length:
                return
            yield index, self._picture(index)

    def _picture(self, index: int) -> np.ndarray:
        frame = self.paint(index).copy()
        self.pictures += 1
        self.asked.append(index)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(frame, self._gone)
        return frame

    def _gone(self) -> None:
        self.alive -= 1


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, Interval]:
    """A synthetic person's macro-expression, uint8 [T, FACE, FACE, 3], and its interval."""
    from merzoo.data.synthetic import SyntheticFaces

    faces = SyntheticFaces("tiny")
    row = faces.table().query("kind == 'macro'").iloc[0]
    return faces.frames(row["sample_id"], FACE), Interval(int(row["start"]), int(row["peak"]), int(row["stop"]))


@pytest.fixture(scope="module")
def paint(clip: tuple[np.ndarray, Interval]) -> Callable[..., np.ndarray]:
    """A painter of frames: that frame of the clip at a place, under noise. Painted once and kept: what is measured is not the painting."""
    faces, _ = clip
    noise = np.random.default_rng(0).normal(0, 2, (7, HEIGHT, WIDTH, 3))

    @cache
    def painted(turn: int, at: int, left: int, scale: float, width: int) -> np.ndarray:
        canvas = np.full((HEIGHT, width, 3), 90.0)
        face = cv2.resize(faces[at], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas[10 : 10 + len(face), left : left + len(face)] = face
        canvas[:, :WIDTH] += noise[turn]
        return canvas.clip(0, 255).astype(np.uint8)

    def frame(index: int, at: int = 0, left: int = 40, scale: float = 1, width: int = WIDTH) -> np.ndarray:
        at = at if 0 < at < len(faces) else 0
        return painted((at or index) % 7, at, left, scale, width)

    return frame


def now_and_then(paint: Callable[..., np.ndarray], every: int = 200) -> Callable[[int], np.ndarray]:
    """A face that rests, and shows the clip from the hundredth frame of every two hundred on."""
    return lambda index: paint(index, index % every - 100)


def test_neither_memory_nor_readings_nor_pictures_at_once_grow_with_the_length(paint: Callable[..., np.ndarray]) -> None:
    peaks, readings, most = [], [], []
    for index in range(200):
        now_and_then(paint)(index)  # so that painting takes no memory later
    for length in (200, 800):
        source = Recording(now_and_then(paint), length)
        tracemalloc.start()
        (found,) = face_clips(source, max_events=1, size=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.frame_count == length and len(found.events) == 1
        readings.append(source.readings)
        most.append(source.most)
    assert readings == [4, 4]
    assert max(most) <= 9  # those that wait for a look at the onset's surroundings
    assert peaks[1] - peaks[0] < 200_000, peaks  # 600 more frames of 130 kB, or of 43 kB in grey: a track and a curve take 50 bytes a frame


def test_the_detector_looks_at_a_share_of_the_frames_and_few_become_pictures(paint: Callable[..., np.ndarray]) -> None:
    source = Recording(now_and_then(paint), 900)
    (track,) = track_faces(source)
    assert track.looked is not None and track.looked[:DENSE].all()
    assert 0.15 < track.looked[DENSE:].mean() < 0.25 and track.detected_fraction == 1.0
    assert source.pictures == track.looked.sum() and source.readings == 1


def test_a_short_recording_is_looked_at_throughout(paint: Callable[..., np.ndarray]) -> None:
    (track,) = track_faces(Recording(now_and_then(paint), DENSE))
    assert track.looked is not None and track.looked.all() and track.is_short


def test_a_stretch_without_the_face_lowers_the_fraction_by_its_share(paint: Callable[..., np.ndarray]) -> None:
    empty = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    (track,) = track_faces(Recording(lambda index: empty if 300 <= index < 600 else paint(index), 900))
    assert track.detected_fraction == pytest.approx(2 / 3, abs=0.01)
    assert not track.present[310:590].any() and track.present[:295].all() and track.present[610:].all()
    assert track.looked is not None and track.looked[400:580].mean() < 0.25  # nothing hurries while nobody is there


def test_a_frame_that_was_not_looked_at_counts_as_the_nearest_that_was() -> None:
    looked = np.isin(np.arange(10), [0, 1, 4, 9])
    detected = np.isin(np.arange(10), [0, 4])
    track = FaceTrack(np.zeros((10, 4)), detected, np.full((10, 2, 2), np.nan), looked)
    assert track.present.tolist() == [True, False, False, True, True, True, True, False, False, False]
    assert track.detected_fraction == 0.5


def test_a_face_that_walks_off_late_stays_one_face(paint: Callable[..., np.ndarray]) -> None:
    def place(index: int) -> int:
        return 10 + 9 * min(max(index - 200, 0), 40)  # 360 px, which is more than its width, in 1.3 s

    (track,) = track_faces(Recording(lambda index: paint(index, left=place(index), width=540), 300))
    assert track.detected_fraction > 0.97
    moved = track.boxes[:, 0] - [place(index) for index in range(300)]
    assert np.abs(moved - np.median(moved)).max() < 20, moved  # px; its box is 110 px wide


def test_a_face_that_is_missed_where_it_was_is_sought_in_the_whole_frame(paint: Callable[..., np.ndarray]) -> None:
    source = Recording(lambda index: paint(index, left=10 if index < 302 else 58), 400)  # 48 of its 110 px at once
    (track,) = track_faces(source)
    assert track.detected_fraction > 0.99 and np.abs(track.boxes[330:, 0].mean() - track.boxes[:280, 0].mean() - 48) < 6


def test_all_faces_are_searched_in_the_same_readings(paint: Callable[..., np.ndarray]) -> None:
    def two(index: int) -> np.ndarray:
        return np.concatenate([paint(index, index % 150 - 60), paint(index, index % 150 - 20, scale=0.8)], axis=1)

    source = Recording(two, 300)
    found = face_clips(source, face="all", size=64)
    assert len(found) == 2 and found[0].box[0] < WIDTH < found[1].box[0] and all(len(face.events) >= 2 for face in found)
    assert source.readings == 4
    with pytest.warns(MerzooWarning, match="2 faces found"):
        (alone,) = face_clips(Recording(two, 300), size=64)
    assert [e.interval for e in alone.events] == [e.interval for e in found[0].events]
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(alone.events, found[0].events, strict=True))


def test_a_recording_in_which_nothing_moves_is_read_once_more(paint: Callable[..., np.ndarray]) -> None:
    source = Recording(paint, 200)
    (found,) = face_clips(source, size=64)
    assert [event.confident for event in found.events] == [False] and source.readings <= 5


def test_looking_less_finds_what_looking_at_every_frame_finds(
    paint: Callable[..., np.ndarray], clip: tuple[np.ndarray, Interval], monkeypatch: pytest.MonkeyPatch
) -> None:
    swaying = lambda index: paint(index, index % 200 - 100, left=40 + round(6 * np.sin(index / 25)))  # noqa: E731
    (few,) = face_clips(Recording(swaying, 600), max_events=3)
    monkeypatch.setattr(tracking, "DENSE", 10**6)
    (all_of_them,) = face_clips(Recording(swaying, 600), max_events=3)
    assert few.box == pytest.approx(all_of_them.box, abs=3)
    corners = np.array([[70, 40, 1], [150, 130, 1.0]])
    for one, other in zip(*(sorted(found.events, key=lambda e: e.interval.start) for found in (few, all_of_them)), strict=True):
        assert abs(one.interval.start - other.interval.start) <= 6 and abs(one.interval.peak - other.interval.peak) <= 4
        assert one.strength == pytest.approx(other.strength, rel=0.2) and one.confident
        assert np.abs(corners @ (one.transform - other.transform).T).max() < 2.5  # px of the crop
        at = one.interval.peak % 200 - 100
        assert clip[1].start <= at <= clip[1].stop


def test_a_closer_look_corrects_an_alignment_that_goes_by_the_box(paint: Callable[..., np.ndarray]) -> None:
    (whole,) = track_faces(Recording(lambda index: paint(index + 298), 9))  # looked at throughout
    exact = Aligner().transform(whole, 4)
    looked = np.isin(np.arange(9), [0, 5])
    off = FaceTrack(whole.boxes + np.array([9, 6, 0, 0]), looked, np.full((9, 2, 2), np.nan, np.float32), looked)  # as smoothing leaves them while a head sways
    look = CloserLook(off, 4, FaceDetector())
    assert list(look.frames) == list(range(9)) and not CloserLook(whole, 4, FaceDetector()).frames
    for index in look.frames:
        look.add(index, as_grey(paint(index + 298)))
    corners = np.array([[70, 40, 1], [150, 130, 1.0]])
    before, after = (np.abs(corners @ (Aligner().transform(track, 4) - exact).T).max() for track in (off, look.track()))
    assert after < 1 < 5 < before, (before, after)


def test_the_surroundings_of_an_onset_are_read_with_the_event(paint: Callable[..., np.ndarray]) -> None:
    source = Recording(now_and_then(paint), 400)
    (found,) = face_clips(source, interval=Interval(302, 320, 340))
    assert source.readings == 2 and source.asked[-43:] == list(range(298, 341))
    assert found.events[0].frame_numbers.tolist() == list(range(302, 341)) and len(found.events[0].frames) == 39


def test_how_far_it_is_is_told_in_every_reading(paint: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "SECONDS", 0.0)
    told: list[str] = []
    face_clips(Recording(now_and_then(paint), 300), size=64, tell=told.append)
    assert {line.split(":")[0] for line in told} == {"finding faces", "measuring movement", "following movements"}
    assert any(line.startswith("finding faces: 200 of 300 frames, ") and line.endswith(" a second") for line in told)
