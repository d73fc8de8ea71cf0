"""Detection, tracking and alignment on a real face, still and moving."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from merzoo.errors import MediaError, NoFaceError
from merzoo.faces.align import EYES, Aligner, crop, similarity, similarity_from_box
from merzoo.faces.detect import Box, FaceDetector
from merzoo.faces.spot import spot
from merzoo.faces.track import FaceTrack, track_faces
from merzoo.faces.video import FrameSource, open_source

cv2 = pytest.importorskip("cv2")
MEDIA = Path(__file__).resolve().parents[2] / "shared/data/faces"
STILL_EYES = np.array([[229.0, 246.0], [314.0, 245.0]])  # pupils of single_face.jpg, read off by eye


@pytest.fixture(scope="module")
def still() -> np.ndarray:
    path = MEDIA / "single_face.jpg"
    if not path.is_file():
        pytest.skip("the real face media is not here (../shared/data/faces)")
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def video() -> FrameSource:
    path = MEDIA / "single_face.mp4"
    if not path.is_file():
        pytest.skip("the real face media is not here (../shared/data/faces)")
    return open_source(path)


@pytest.fixture(scope="module")
def track(video: FrameSource) -> FaceTrack:
    return track_faces(video)[0]


def test_iou() -> None:
    assert Box(0, 0, 10, 10).iou(Box(0, 0, 10, 10)) == 1
    assert Box(0, 0, 10, 10).iou(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).iou(Box(20, 0, 10, 10)) == 0


def test_face_and_eyes_of_the_still(still: np.ndarray) -> None:
    detector = FaceDetector()
    faces = detector.detect(still)
    assert len(faces) == 1
    eyes = detector.eyes(still, faces[0])
    assert eyes is not None and np.abs(eyes - STILL_EYES).max() < 8
    near = detector.near(still, Box(faces[0].x + 15, faces[0].y - 10, faces[0].w * 1.1, faces[0].h * 1.1))
    assert near is not None and near.iou(faces[0]) > 0.8


def test_nothing_in_noise_and_gradients() -> None:
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))
    blobs = cv2.GaussianBlur(rng.normal(128, 400, (240, 320)).astype(np.float32), (0, 0), 8).clip(0, 255).astype(np.uint8)
    for frame in (ramp, blobs, rng.integers(0, 256, (240, 320), dtype=np.uint8), np.zeros((240, 320), np.uint8)):
        with pytest.raises(NoFaceError, match="no face is found in 4 frames"):
            track_faces(open_source(np.stack([frame] * 4)))


def test_tiny_frames_have_no_face_and_do_not_crash() -> None:
    for shape in ((2, 1, 1), (2, 15, 300), (2, 20, 20)):
        with pytest.raises(NoFaceError):
            track_faces(open_source(np.zeros(shape, np.uint8)))


def test_real_video_is_found_throughout(track: FaceTrack) -> None:
    assert track.detected.shape == (72,) and track.detected_fraction >= 0.95
    x, y, w, h = track.box
    assert (x, y, w, h) == pytest.approx((198, 81, 192, 192), abs=12)
    # Smoothed: from frame to frame the box moves by little, though the raw detections jump by pixels.
    assert np.abs(np.diff(track.boxes, axis=0)).max() < 4


def test_interpolated_frames_do_not_count_as_detected(still: np.ndarray) -> None:
    small = cv2.resize(still, None, fx=0.5, fy=0.5)
    frames = np.stack([small] * 30)
    frames[10:16] = 127  # the picture is gone
    (gone,) = track_faces(open_source(frames))
    assert not gone.detected[10:16].any() and gone.detected_fraction == pytest.approx(24 / 30)
    assert np.abs(gone.boxes[12] - gone.boxes[0]).max() < 3


def test_several_faces_largest_first(still: np.ndarray) -> None:
    big, small = cv2.resize(still, (400, 400)), cv2.resize(still, (280, 280))
    canvas = np.full((400, 680, 3), 90, np.uint8)
    canvas[:, :400], canvas[60:340, 400:] = big, small
    tracks = track_faces(open_source(np.stack([canvas] * 6)))
    assert len(tracks) == 2
    assert tracks[0].box[0] < 400 < tracks[1].box[0] and tracks[0].box[2] > tracks[1].box[2]


def test_a_moving_face_is_one_track(still: np.ndarray) -> None:
    small = cv2.resize(still, (240, 240))
    frames = np.full((40, 260, 560, 3), 90, np.uint8)
    for i in range(40):
        frames[i, 10:250, 8 * i : 8 * i + 240] = small
    (moving,) = track_faces(open_source(frames))
    assert moving.detected_fraction >= 0.9
    assert np.abs(np.diff(moving.boxes[4:-4, 0]) - 8).max() < 3


def test_similarity_puts_the_eyes_in_their_places() -> None:
    matrix = similarity(STILL_EYES)
    assert np.hstack([STILL_EYES, np.ones((2, 1))]) @ matrix.T == pytest.approx(EYES)
    assert matrix[0, 0] == pytest.approx(matrix[1, 1]) and matrix[0, 1] == pytest.approx(-matrix[1, 0])
    with pytest.raises(MediaError, match="less than a pixel apart"):
        similarity(np.zeros((2, 2)))


def test_without_eyes_the_box_lands_within_three_pixels(video: FrameSource, track: FaceTrack, still: np.ndarray) -> None:
    face = FaceDetector().detect(still)[0]
    matrix = similarity_from_box(np.array([face.x, face.y, face.w, face.h]))
    assert np.abs(np.hstack([STILL_EYES, np.ones((2, 1))]) @ matrix.T - EYES).max() < 3
    blind = FaceTrack(track.boxes, track.detected, np.full_like(track.eyes, np.nan))
    corners = np.array([[230, 140, 1], [350, 260, 1.0]])  # of the face, px of the frame
    for index in (0, 30, 60):
        with_eyes, without = (corners @ Aligner().transform(t, index).T for t in (track, blind))
        assert np.abs(with_eyes - without).max() < 4


def test_eyes_found_elsewhere_in_the_track_are_used(track: FaceTrack) -> None:
    late = np.where((np.arange(72) < 40)[:, None, None], track.eyes, np.nan)
    part = FaceTrack(track.boxes, track.detected, late.astype(np.float32))
    corners = np.array([[230, 140, 1], [350, 260, 1.0]])
    assert np.abs(corners @ (Aligner().transform(part, 65) - Aligner().transform(track, 65)).T).max() < 3


def test_crop_keeps_pixel_centres_and_averages_when_it_shrinks() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (512, 512, 3), dtype=np.uint8), (0, 0), 6)
    quarter = np.array([[0.25, 0, (0.25 - 1) / 2], [0, 0.25, (0.25 - 1) / 2]])
    expected = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(crop(frame, quarter).astype(int) - expected).max() <= 2
    assert np.array_equal(crop(expected, np.eye(2, 3)), expected)
    checks = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert crop(checks, 0.9 * quarter).std() < 25  # point sampling would alias the checkerboard
    assert crop(frame, quarter, 224).shape == (224, 224, 3) and crop(checks, quarter, 96).shape == (96, 96)


class Endless(FrameSource):
    """The same face again and again; counts the frames that are alive at once."""

    def __init__(self, frame: np.ndarray, length: int) -> None:
        self.name, self.fps, self.declared_frames = "endless", 30.0, length
        self.frame, self.alive, self.most = frame, 0, 0

    def read(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        assert self.declared_frames is not None
        for index in range(self.declared_frames) if wanted is None else wanted:
            if index >= self.declared_frames:
                return
            frame = self.frame.copy()
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(frame, self._gone)
            yield index, frame
            del frame

    def _gone(self) -> None:
        self.alive -= 1


def test_tracking_holds_a_frame_at_a_time(still: np.ndarray) -> None:
    source = Endless(cv2.resize(still, (200, 200)), 300)
    (face,) = track_faces(source)
    assert len(face.detected) == 300 and source.most <= 3


def test_memory_does_not_grow_with_the_length(still: np.ndarray) -> None:
    peaks = []
    for length in (60, 240):
        source = Endless(cv2.resize(still, (200, 200)), length)
        tracemalloc.start()
        (face,) = track_faces(source)
        spot(source, [face], Aligner())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert source.most <= 3
    assert peaks[1] - peaks[0] < 500_000, peaks  # 180 more frames of 120 kB, or of 40 kB in grey
