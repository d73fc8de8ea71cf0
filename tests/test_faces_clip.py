"""From a source to aligned clips: the whole path on real media, and its warnings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from merzoo.errors import MerzooWarning, NoFaceError, UsageError
from merzoo.faces import FaceResult, face_clips
from merzoo.faces.align import EYES
from merzoo.faces.clip import thin
from merzoo.interval import Interval

cv2 = pytest.importorskip("cv2")
MEDIA = Path(__file__).resolve().parents[2] / "shared/data/faces"
VIDEO, STILL = MEDIA / "single_face.mp4", MEDIA / "single_face.jpg"
pytestmark = pytest.mark.skipif(not VIDEO.is_file(), reason="the real face media is not here (../shared/data/faces)")


@pytest.fixture(scope="module")
def result() -> FaceResult:
    (found,) = face_clips(VIDEO)
    return found


def test_the_real_video(result: FaceResult) -> None:
    assert result.detected_fraction is not None and result.detected_fraction >= 0.95
    assert result.frame_count == 72 and result.box == pytest.approx((198, 81, 192, 192), abs=12)
    (event,) = result.events
    assert event.confident and event.strength > 3
    span = event.interval.stop - event.interval.start + 1
    assert event.frames.shape == (span, 128, 128, 3) and event.frames.dtype == np.uint8
    assert event.frame_numbers.tolist() == list(range(event.interval.start, event.interval.stop + 1))


def test_what_is_left_between_onset_and_apex_is_the_mouth(result: FaceResult) -> None:
    (event,) = result.events
    peak = event.frame_numbers.tolist().index(event.interval.peak)
    onset, apex = (cv2.GaussianBlur(event.frames[i], (0, 0), 2).mean(axis=-1) for i in (0, peak))
    change = np.abs(apex - onset)
    mouth, forehead, nose = change[84:104, 46:82].mean(), change[20:36, 48:80].mean(), change[52:70, 58:70].mean()
    assert mouth > 3 * forehead and mouth > 3 * nose, (mouth, forehead, nose)


def test_held_alignment_without_stabilising() -> None:
    (found,) = face_clips(VIDEO, stabilise=False, interval=Interval(14, 40, 70))
    (event,) = found.events
    assert np.isnan(event.strength) and event.interval == Interval(14, 40, 70)
    assert (event.transforms == event.transform).all()
    (steady,) = face_clips(VIDEO, interval=Interval(14, 40, 70))[0].events
    assert np.array_equal(steady.transform, event.transform) and np.array_equal(steady.frames[0], event.frames[0])
    head = np.abs((steady.transforms - event.transform) @ [290.0, 180.0, 1.0]).max()  # how far the head's middle moved
    assert 1 < head < 10


def test_long_events_are_thinned_with_their_key_frames() -> None:
    (event,) = face_clips(VIDEO, size=64, max_frames=9, interval=Interval(3, 41, 71))[0].events
    assert event.frames.shape == (9, 64, 64, 3) and len(event.transforms) == 9
    assert {3, 41, 71} <= set(event.frame_numbers.tolist())
    for interval in (Interval(0, 1, 99), Interval(0, 98, 99), Interval(5, 5, 99), Interval(0, 99, 99), Interval(0, 50, 99)):
        for most in (3, 4, 10):
            numbers = thin(interval, most)
            assert len(numbers) == most == len(set(numbers)) and numbers == sorted(numbers)
            assert {interval.start, interval.peak, interval.stop} <= set(numbers)
    assert thin(Interval(2, 3, 5), 10) == [2, 3, 4, 5]


def test_an_array_and_a_folder_give_what_the_video_gives(tmp_path: Path) -> None:
    interval = Interval(4, 7, 9)
    capture = cv2.VideoCapture(str(VIDEO))
    frames = np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(12)])
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{index}.png"), frame[..., ::-1])
    array, folder = (face_clips(source, interval=interval)[0].events[0].frames for source in (frames, tmp_path))
    assert np.array_equal(array, folder)


def test_several_faces() -> None:
    still = cv2.cvtColor(cv2.imread(str(STILL)), cv2.COLOR_BGR2RGB)
    canvas = np.full((320, 560, 3), 90, np.uint8)
    canvas[:, :320], canvas[40:280, 320:] = cv2.resize(still, (320, 320)), cv2.resize(still, (240, 240))
    frames = np.stack([canvas] * 6)
    with pytest.warns(MerzooWarning, match="2 faces found, the largest is taken") as caught:
        (largest,) = face_clips(frames)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = face_clips(frames, face="all")
    assert len(both) == 2 and both[0].box == largest.box and both[0].box[0] < 320 < both[1].box[0]
    assert all(len(f.events) == 1 and not f.events[0].confident for f in both)  # nobody moves


def test_no_face() -> None:
    with pytest.raises(NoFaceError):
        face_clips(np.zeros((4, 120, 160, 3), np.uint8))


def test_aligned_crops_are_taken_as_they_are(result: FaceResult) -> None:
    crops = result.events[0].frames
    (found,) = face_clips(crops, face="none", interval=Interval(0, 20, 40), stabilise=False)
    assert found.detected_fraction is None and found.box == (0, 0, 128, 128)
    assert np.array_equal(found.events[0].frames, crops[:41])
    half = face_clips(crops[:, ::2, ::2], face="none", interval=Interval(0, 20, 40), stabilise=False)[0].events[0].frames
    assert half.shape == (41, 128, 128, 3) and np.abs(half[0].astype(float) - crops[0]).mean() < 12
    wide = np.pad(crops, ((0, 0), (0, 0), (16, 16), (0, 0)))
    assert np.array_equal(face_clips(wide, face="none", interval=Interval(0, 20, 40), stabilise=False)[0].events[0].frames, crops[:41])


def test_eyes_of_the_crops_are_in_their_places(result: FaceResult) -> None:
    from merzoo.faces.detect import Box, FaceDetector

    detector, event = FaceDetector(), result.events[0]
    found = [detector.eyes(frame, Box(15, 11, 97, 97)) for frame in event.frames]
    eyes = np.median([e for e in found if e is not None], axis=0)
    assert np.abs(eyes - EYES).max() < 3


def test_arguments_that_do_not_fit() -> None:
    crops = np.zeros((4, 16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match="ends after the last of 4 frames"):
        face_clips(crops, face="none", interval=Interval(0, 2, 4))
    with pytest.raises(UsageError, match="largest, all or none"):
        face_clips(crops, face="second")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="max_frames"):
        face_clips(crops, face="none", max_frames=2)
