"""Frames of a folder in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from merzoo.data.readers.frames import FrameList, frames_in, list_frames, pick
from merzoo.errors import DataError


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


def listed(*numbers: int) -> FrameList:
    return FrameList(Path("clip"), numbers, tuple(f"img{n}.jpg" for n in numbers))


def test_integers_not_strings(tmp_path: Path) -> None:
    found = list_frames(folder(tmp_path, "img10.jpg", "img9.jpg", "img100.jpg"))
    assert found.numbers == (9, 10, 100) and found.names == ("img9.jpg", "img10.jpg", "img100.jpg")


@pytest.mark.parametrize(
    ("name", "number"),
    [("006_05562.jpg", 5562), ("013_1_12_0123.jpg", 123), ("reg_img46.jpg", 46), ("reg_image000001.bmp", 1), ("175.PNG", 175), ("Frame_000001826.JPEG", 1826),
     ("00001_00016.jpg", 16), ("img46_small.jpg", 46)],
)  # fmt: skip
def test_last_digits_of_the_stem(tmp_path: Path, name: str, number: int) -> None:
    found = list_frames(folder(tmp_path, name))
    assert (found.numbers, found.names) == ((number,), (name,))


def test_what_is_no_frame(tmp_path: Path) -> None:
    (tmp_path / "color").mkdir()
    (tmp_path / "9.jpg").mkdir()
    (tmp_path / "8.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = list_frames(folder(tmp_path, "1.jpg", "._1.jpg", ".2.jpg", "Thumbs.db", "notes3.txt", "cover.jpg", "img99999999999999999999.jpg"))
    assert found.numbers == (1,)
    assert found.ignored == ("8.jpg", "cover.jpg", "img99999999999999999999.jpg")
    assert "no number or are links to nothing: 8.jpg, cover.jpg, img99999999999999999999.jpg" in found.notes[0]


def test_two_files_of_one_number(tmp_path: Path) -> None:
    found = list_frames(folder(tmp_path, "img2.jpg", "img02.jpg", "img1.jpg", "img1.png"))
    assert found.names == ("img1.jpg", "img02.jpg") and found.duplicates == ("img1.png", "img2.jpg")
    assert found.notes == ("pictures left out because another has their number: img1.png, img2.jpg",)


def test_two_series_of_names_in_one_folder(tmp_path: Path) -> None:
    found = list_frames(folder(tmp_path, *(f"{side}_{n:02d}.jpg" for side in ("left", "right") for n in range(5))))
    assert found.series == ("left_#", "right_#") and len(found.numbers) == 5
    assert found.notes[0] == "frames bear 2 series of names (left_#, right_#), taken for one in the order of their numbers"
    assert "right_00.jpg, right_01.jpg, right_02.jpg and 2 more" in found.notes[1]


def test_one_series_of_names_is_no_note(tmp_path: Path) -> None:
    assert list_frames(folder(tmp_path, "img9.jpg", "IMG10.JPG", "img011.jpg")).notes == ()


def test_links_that_lead_nowhere_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "7.jpg").symlink_to("7.jpg")
    (tmp_path / "loop").symlink_to("loop")
    assert list_frames(folder(tmp_path, "1.jpg")).numbers == (1,)


def test_a_folder_that_cannot_be_listed_has_no_frames_and_a_fault(tmp_path: Path) -> None:
    found = frames_in(tmp_path / "gone")
    assert not found.numbers and found.fault.startswith("cannot list the frames in")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/5.jpg").touch()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    (tmp_path / "there/6.jpg").symlink_to(tmp_path / "there/5.jpg")
    assert list_frames(tmp_path / "here").numbers == (5, 6)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="check that the folder is there") as error:
        list_frames(tmp_path / "a\nb")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "last", "inside", "missing"),
    [(3, 6, (3, 4, 6), (5,)), (1, 2, (), (1, 2)), (7, 9, (7,), (8, 9)), (0, 100, (3, 4, 6, 7), (0, 1, 2, 5, *range(8, 101))),
     (6, 3, (), ()), (5, 5, (), (5,)), (4, 4, (4,), ())],
)  # fmt: skip
def test_pick(first: int, last: int, inside: tuple[int, ...], missing: tuple[int, ...]) -> None:
    frames = listed(3, 4, 6, 7)
    part, absent = pick(frames, first, last)
    assert frames.numbers[part] == inside and absent == missing
    assert frames.names[part] == tuple(f"img{n}.jpg" for n in inside)


def test_an_absurd_interval_does_not_fill_the_memory() -> None:
    part, absent = pick(listed(3, 4, 20_000), 0, 2**31)
    assert part == slice(0, 3) and len(absent) == 10_000 and absent[:4] == (0, 1, 2, 5)
