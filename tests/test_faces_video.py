"""Frames from files, folders and arrays: order, colour, what is refused, what is worked around, and nothing on stderr beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from merzoo.errors import MediaError, MerzooWarning
from merzoo.faces.video import natural_key, open_source

cv2 = pytest.importorskip("cv2")
LENGTH = 40


def picture(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth RGB frame whose red tells its number."""
    frame = np.full((*size, 3), 60, np.uint8)
    frame[..., 0] = index * 6
    frame[10:20, 10:20, 2] = 200
    return frame


def write_video(path: Path, code: str, length: int = LENGTH) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 25, (64, 48))
    assert writer.isOpened()
    for index in range(length):
        writer.write(picture(index)[..., ::-1])
    writer.release()
    return path


def write_folder(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for index, name in enumerate(names):
        cv2.imwrite(str(path / name), picture(index)[..., ::-1])
    return path


def cut(path: Path) -> Path:
    data = path.read_bytes()
    shorter = path.with_name("cut_" + path.name)
    shorter.write_bytes(data[: len(data) // 2])
    return shorter


def test_video_gives_rgb_in_order_and_again(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "a.avi", "MJPG"))
    for _ in range(2):
        frames = list(source)
        assert len(frames) == LENGTH == source.declared_frames
        assert source.fps == pytest.approx(25)
        assert all(f.shape == (48, 64, 3) and f.dtype == np.uint8 for f in frames)
        assert np.abs([f[30:, 30:, 0].mean() - 6 * i for i, f in enumerate(frames)]).max() < 5  # red first: RGB, not BGR


def test_a_range_and_chosen_frames_of_a_video(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "a.avi", "MJPG"))
    everything = list(source)
    assert all(np.array_equal(a, b) for a, b in zip(source.frames(7, 12), everything[7:12], strict=True))
    chosen = list(source.read([0, 5, 39, 50]))
    assert [n for n, _ in chosen] == [0, 5, 39]
    assert all(np.array_equal(frame, everything[n]) for n, frame in chosen)


def test_a_visit_makes_the_pictures_that_are_asked_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", [f"{n}.png" for n in range(LENGTH)])
    (folder / "7.png").write_bytes(b"no picture")
    for source in (open_source(write_video(tmp_path / "a.avi", "MJPG")), open_source(folder), open_source(np.stack([picture(i) for i in range(LENGTH)]))):
        asked = {0, 5, LENGTH - 1}
        made = {index: make() if index in asked else None for index, make in source.visit()}
        assert list(made) == list(range(LENGTH))
        for index, frame in source.read(sorted(asked)):
            assert np.array_equal(made[index], frame)


def test_folder_in_the_order_of_the_last_number(tmp_path: Path) -> None:
    names = [f"cam2_img{n}.png" for n in range(1, 13)]
    folder = write_folder(tmp_path / "frames", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / "._cam2_img1.png").write_bytes(b"\0")
    source = open_source(folder, fps=200)
    assert [int(f[40, 40, 0]) // 6 for f in source] == list(range(12))
    assert (source.fps, source.declared_frames) == (200, 12)
    assert sorted(["b", "a10", "a9", "a2_3"], key=natural_key) == ["a2_3", "a9", "a10", "b"]


def test_folders_and_arrays_do_not_invent_a_frame_rate(tmp_path: Path) -> None:
    assert open_source(write_folder(tmp_path / "frames", ["1.png", "2.png"])).fps is None
    assert open_source(np.zeros((2, 8, 8), np.uint8)).fps is None
    assert open_source(np.zeros((2, 8, 8), np.uint8)).rate == 30


def test_grey_and_colour_arrays() -> None:
    array = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)
    assert all(np.array_equal(frame[..., c], array[i]) for i, frame in enumerate(open_source(array)) for c in range(3))
    colour = np.stack([picture(i) for i in range(3)])
    assert np.array_equal(np.stack(list(open_source(colour))), colour)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 8, 8), np.float32),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((48, 64, 3), np.uint8),
        np.zeros((4, 8, 8, 4), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((8,), np.uint8),
    ],
)
def test_arrays_that_are_no_clip(array: np.ndarray) -> None:
    with pytest.raises(MediaError, match="array"):
        open_source(array)


def test_what_is_refused_with_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    write_folder(tmp_path / "one", ["1.png"])
    write_video(tmp_path / "single.avi", "MJPG", length=1)
    cases = {
        "absent.mp4": "does not exist",
        "empty": "holds no frames",
        "text.mp4": "it is text",
        "zero.mp4": "empty",
        "noise.mp4": "cannot be decoded",
        "one": "single frame",
        "one/1.png": "single picture",
        "single.avi": "single frame",
        cut(write_video(tmp_path / "late.mp4", "mp4v")).name: "cut off",  # its index is at the end
    }
    for name, said in cases.items():
        with pytest.raises(MediaError, match=said) as caught:
            open_source(tmp_path / name)
        text = str(caught.value)
        assert "\n" not in text and name in text and ";" in text, text  # one line, the object at fault, a remedy
    assert capfd.readouterr() == ("", "")


def test_frames_that_do_not_fit_together(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", ["1.png", "2.png", "3.png"])
    cv2.imwrite(str(folder / "4.png"), picture(0, (50, 64)))
    with pytest.raises(MediaError, match=r"4\.png is 64x50, the frames before it 64x48"):
        list(open_source(folder))
    (folder / "4.png").write_bytes((folder / "3.png").read_bytes()[:40])
    with pytest.raises(MediaError, match=r"4\.png is not a readable picture"):
        list(open_source(folder))


@pytest.mark.parametrize(("name", "code"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_a_video_cut_off_in_the_middle_gives_what_decodes_and_says_so_once(tmp_path: Path, name: str, code: str, capfd: pytest.CaptureFixture[str]) -> None:
    source = open_source(cut(write_video(tmp_path / name, code)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = [sum(1 for _ in source) for _ in range(2)]
    assert counts[0] == counts[1] and 2 <= counts[0] < LENGTH - 2
    assert [w.category for w in caught] == [MerzooWarning]
    assert f"{counts[0]} of {LENGTH} frames" in str(caught[0].message)
    assert capfd.readouterr() == ("", "")


def test_a_whole_video_does_not_warn(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(open_source(write_video(tmp_path / "a.mp4", "mp4v")))) == LENGTH


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan")])
def test_an_impossible_frame_rate(fps: float) -> None:
    with pytest.raises(MediaError, match="fps"):
        open_source(np.zeros((2, 8, 8), np.uint8), fps=fps)
