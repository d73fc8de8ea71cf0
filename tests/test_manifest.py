"""A table of one's own clips: every column, every row that cannot be used, and what gets into ids and hashes."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merzoo.data.readers.manifest import COLUMNS, Manifest
from merzoo.data.readers.media import LONGEST
from merzoo.data.table import checked
from merzoo.errors import DataError, MerzooError, MerzooWarning, UnknownNameError, UsageError
from merzoo.specs import Preprocessing
from merzoo.testing.trees import pictures, workbook

Cells = Mapping[str, object]


def table(folder: Path, rows: Sequence[Cells], name: str = "clips.csv", delimiter: str = ",") -> Path:
    path = folder / name
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def clip(folder: Path, name: str, count: int = 12, first: int = 1) -> str:
    pictures(folder / name, [f"img{n}.jpg" for n in range(first, first + count)])
    return name


def video(path: Path, count: int = 20, fps: float = 25.0) -> str:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (48, 48))
    for n in range(count):
        writer.write(np.full((48, 48, 3), 8 * n % 250, np.uint8))
    writer.release()
    return path.name


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, object]]:
    """Two rows whose clips are there, of two people and labels."""
    return [
        {"path": clip(tmp_path, "anna/c1"), "subject": "anna", "emotion": "happy"},
        {"path": clip(tmp_path, "ben/c1"), "subject": "ben", "emotion": "Surprise"},
    ]


def why(manifest: Manifest, at: int = 0) -> str:
    return manifest.reading.dropped[at].why


def test_the_shortest_table(tmp_path: Path, two: list[dict[str, object]]) -> None:
    manifest = Manifest(table(tmp_path, two))
    rows = checked(manifest.table(), manifest.labels, manifest.task)
    assert (manifest.labels, manifest.task, manifest.provides) == (("happiness", "surprise"), "classes", ("emotion-labels",))
    assert rows["sample_id"].to_list() == ["csv:anna/anna/c1", "csv:ben/ben/c1"]
    assert rows[["start", "peak", "stop", "frames", "fps", "kind"]].to_numpy().tolist() == [[0, 5, 11, 12, 30.0, "micro"]] * 2
    assert set(manifest.reading.apexes) == set(rows["sample_id"])  # the middle is a guess, and said to be
    assert "apex" in rows["corrections"].iloc[0]


def test_every_column(tmp_path: Path) -> None:
    path = clip(tmp_path, "c", 40, first=101)
    row = {
        "Clip ID": "smile", "FRAME_RATE": "29.97", "Path": path, "Person": 7, "Label": "others", "Onset Frame": 110, "apex": 115, "offset": 120,
        "Action Units": "6+12", "Data Set": "lab", "fold": "b", "kind": "Macro", "Release": "Cropped", "age": 31,
    }  # fmt: skip
    manifest = Manifest(table(tmp_path, [row]))
    made = checked(manifest.table(), manifest.labels).iloc[0].to_dict()
    assert made["sample_id"] == "lab:7/smile" and made["subject"] == "lab:7" and made["dataset"] == "lab"
    assert (made["kind"], made["fps"], made["aus"], made["fold"], made["frames"]) == ("macro", 29.97, "6+12", "b", 11)
    assert (made["start"], made["peak"], made["stop"]) == (0, 5, 10)
    assert manifest.provides == ("emotion-labels", "au-labels", "macro-clips")
    assert manifest.reading.release == "cropped"
    assert manifest.sources[0].crops("lab:7/smile", Preprocessing(size=32)).shape == (11, 32, 32, 3)


def test_other_kinds_of_table(tmp_path: Path, two: list[dict[str, object]]) -> None:
    pytest.importorskip("openpyxl")
    sheet = workbook(tmp_path / "clips.xlsx", [list(two[0]), *(list(row.values()) for row in two)])
    for path in (table(tmp_path, two, "clips.tsv", "\t"), sheet):
        assert len(Manifest(path).table()) == 2


def test_numbers_in_the_names_count_in_folders_and_frames_from_0_in_videos(tmp_path: Path) -> None:
    rows = [
        {"path": clip(tmp_path, "c", 30, first=100), "subject": "a", "emotion": "x", "onset": 110, "apex": 112, "offset": 115},
        {"path": video(tmp_path / "v.avi", 30), "subject": "b", "emotion": "y", "onset": 10, "apex": 12, "offset": 15},
    ]
    manifest = Manifest(table(tmp_path, rows), release="cropped")
    for row in manifest.table().to_dict("records"):
        assert (row["start"], row["peak"], row["stop"], row["frames"]) == (8, 10, 13, 22)  # with a margin of 8 on either side
    crops = manifest.sources[0].crops("csv:b/v.avi/10", Preprocessing(size=16))
    assert np.abs(crops.mean((1, 2, 3)) - 8 * np.arange(2, 24)).max() < 3  # frames 2 to 23 of the video


def test_videos(tmp_path: Path) -> None:
    name = video(tmp_path / "v.avi", 20, 25)
    rows = [{"path": name, "subject": "a", "emotion": "x"}, {"path": name, "subject": "a", "emotion": "y", "onset": 3, "offset": 9, "fps": 50}]
    made = Manifest(table(tmp_path, rows)).table()
    assert made[["frames", "fps", "peak"]].to_numpy().tolist() == [[20, 25.0, 9], [18, 50.0, 6]]


def test_a_video_that_ends_before_its_container_says(tmp_path: Path) -> None:
    video(tmp_path / "v.avi", 400)
    whole = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "v.avi").write_bytes(whole[: len(whole) // 2])
    rows = [{"path": "v.avi", "subject": "a", "emotion": "x", "onset": 1, "offset": 5}, {"path": "v.avi", "subject": "a", "emotion": "y"}]
    lengths = Manifest(table(tmp_path, rows)).sources[0].lengths()
    assert 150 < lengths["csv:a/v.avi"] < 250
    # An interval far from the declared end is not counted out: the crops say so when they are made.
    late = [{**rows[0], "onset": 300, "offset": 310}]
    source = Manifest(table(tmp_path, [*late, {"path": "v.avi", "subject": "b", "emotion": "y", "onset": 0, "offset": 9}], "late.csv"), release="cropped")
    assert list(source.sources[0].lengths()) == ["csv:a/v.avi/300", "csv:b/v.avi/0"]
    with pytest.warns(MerzooWarning, match="cut off"), pytest.raises(DataError, match=r"0 of its 27 frames decode .*v\.avi"):
        source.sources[0].crops("csv:a/v.avi/300", Preprocessing(size=16))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"path": ""}, "no path"),
        ({"path": "nowhere"}, "not there"),
        ({"path": "x" * 3000}, "not there"),
        ({"path": "empty"}, "no picture with a number"),
        ({"path": "one"}, "single frame"),
        ({"path": "anna/c1/img1.jpg"}, "single picture"),
        ({"path": "notes.avi"}, "text, not a video"),
        ({"path": "pipe"}, "neither a folder nor a regular file"),
        ({"path": "/dev/zero"}, "neither a folder nor a regular file"),
        ({"subject": ""}, "subject '' is no name"),
        ({"subject": "a/b"}, "is no name"),
        ({"emotion": ""}, "it has no label"),
        ({"dataset": "a:b"}, "is no name"),
        ({"kind": "tiny"}, "neither micro nor macro"),
        ({"release": "aligned"}, "neither raw nor cropped"),
        ({"clip": "/etc/passwd"}, "plain name"),
        ({"clip": "../../x"}, "plain name"),
        ({"clip": "x", "onset": "/", "offset": 5}, "not both frame numbers"),
        ({"onset": 9, "offset": 3}, "not after"),
        ({"onset": 50, "offset": 60}, "0 of its frames"),
        ({"onset": 0, "offset": 99999}, "more than 4,000 frames"),
        ({}, "earlier row"),
    ],
)
def test_rows_that_cannot_be_used_are_listed(tmp_path: Path, two: list[dict[str, object]], change: Cells, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    clip(tmp_path, "one", 1)
    (tmp_path / "notes.avi").write_text("not a video")
    os.mkfifo(tmp_path / "pipe")
    assert LONGEST == 4000
    manifest = Manifest(table(tmp_path, [*two, {**two[0], **change}]))
    left = [*(dropped.why for dropped in manifest.reading.dropped), *manifest.left_out().values()]
    if reason == "it has no label":  # the clip is there: only the label is not
        manifest = Manifest(table(tmp_path, [*two, {**two[0], **change, "clip": "other"}]))
        left = list(manifest.left_out().values())
    assert len(left) == 1 and reason in left[0] and "\n" not in left[0]
    with pytest.warns(MerzooWarning, match="1 of 3 clips are left out .*merzoo data verify csv --root"):
        assert len(manifest.table()) == 2
    if manifest.reading.dropped:
        assert manifest.reading.dropped[0].where == "clips.csv row 4"


def test_paths_may_lead_anywhere_but_get_into_no_id(tmp_path: Path) -> None:
    home = tmp_path / "secret-place"
    home.mkdir()
    folder = tmp_path / "tables"
    folder.mkdir()
    clip(home, "c1"), clip(tmp_path, "above/c1"), clip(folder, "down/c1"), clip(folder, "back/c1")
    paths = [str(home / "c1"), "../above/c1", "down/../down/c1", "./down/c1", "back\\c1"]
    rows = [{"path": path, "subject": "a", "emotion": "x" if at % 2 else "y"} for at, path in enumerate(paths)]
    manifest = Manifest(table(folder, rows))
    made = manifest.table().drop(columns="corrections")
    assert len(made) == 5 and made["clip_id"].to_list()[3:] == ["down/c1", "back/c1"]
    assert not any(word in made.to_csv() for word in ("secret", "..", str(tmp_path), "above"))
    assert len(set(made["clip_id"])) == 5


def test_ids_stay_when_the_table_moves_with_its_clips(tmp_path: Path, two: list[dict[str, object]]) -> None:
    first = Manifest(table(tmp_path, two))
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    before = (first.table().to_csv(), first.manifest_hash, first.sources[0].source_hash)
    tmp_path.rename(moved)
    again = Manifest(moved / "clips.csv")
    assert (again.table().to_csv(), again.manifest_hash, again.sources[0].source_hash) == before


def test_the_hash_follows_frames_labels_and_release(tmp_path: Path, two: list[dict[str, object]]) -> None:
    def hashes(rows: Sequence[Cells]) -> tuple[str, str]:
        manifest = Manifest(table(tmp_path, rows))
        return manifest.sources[0].source_hash, manifest.manifest_hash

    source, manifest = hashes(two)
    relabelled = hashes([two[0], {**two[1], "emotion": "anger"}])
    assert relabelled[0] == source and relabelled[1] != manifest
    assert hashes([two[0], {**two[1], "release": "cropped"}])[0] != source
    frame = tmp_path / "anna/c1/img1.jpg"
    frame.write_bytes(bytes(reversed(frame.read_bytes())))  # of the same size
    assert hashes(two)[0] != source


def test_remap(tmp_path: Path, two: list[dict[str, object]]) -> None:
    rows = [*two, {**two[0], "emotion": "sad", "clip": "c"}, {**two[0], "emotion": "bored", "clip": "d"}, {**two[1], "emotion": "ANGRY", "clip": "e"}]
    labels = table(tmp_path, [{"from": f, "to": t} for f, t in [("surprise", "Z"), ("Happiness", "positive"), ("anger", "Z"), ("sad", "")]], "labels.csv")
    manifest = Manifest(table(tmp_path, rows), remap=labels)
    assert manifest.labels == ("Z", "positive")  # in the table's order, as written there
    with pytest.warns(MerzooWarning, match="2 of 5 clips are left out"):
        made = manifest.table()
    assert made["emotion"].to_list() == ["positive", "Z", "Z"]
    assert manifest.left_out() == {"csv:anna/c": "the table labels.csv leaves 'sadness' out", "csv:anna/d": "its label 'bored' is not in the table labels.csv"}
    assert manifest.with_part("").labels == manifest.labels
    assert Manifest(table(tmp_path, rows)).sources[0].source_hash == manifest.sources[0].source_hash  # one store for all labellings


def test_what_a_remap_table_names_in_vain_is_told(tmp_path: Path, two: list[dict[str, object]]) -> None:
    labels = table(tmp_path, [{"from": f, "to": f} for f in ("happiness", "surprise", "sadnes")], "labels.csv")
    manifest = Manifest(table(tmp_path, two), remap=labels)
    with pytest.warns(MerzooWarning) as told:
        manifest.table()
    texts = [str(warning.message) for warning in told]
    assert len(texts) == 2 and "no clip is labelled 'sadnes'" in texts[0] and "the class 'sadnes' has no clip" in texts[1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"from": "happy"}], "lacks the column 'to'"),
        ([{"from": "", "to": "x"}], "row 2 has nothing under 'from'"),
        ([{"from": "happy", "to": "x"}, {"from": "Happiness", "to": "y"}], "row 3 maps 'happiness' to 'y', an earlier row to 'x'"),
        ([{"from": "happy", "to": "a+b"}], "'\\+' joins"),
        ([{"from": "happy", "to": ""}], "leaves every label out"),
    ],
)
def test_remap_tables_that_are_none(tmp_path: Path, two: list[dict[str, object]], rows: Sequence[Cells], message: str) -> None:
    path = table(tmp_path, two)
    with pytest.raises(DataError, match=message):
        Manifest(path, remap=table(tmp_path, rows, "labels.csv"))


def test_several_labels_make_it_multi_label(tmp_path: Path, two: list[dict[str, object]]) -> None:
    rows = [*two, {**two[0], "clip": "both", "emotion": "Surprised ＋ happy+happy"}]
    manifest = Manifest(table(tmp_path, rows))
    assert (manifest.task, manifest.labels) == ("multi-label", ("happiness", "surprise"))
    assert manifest.table()["emotion"].to_list() == ["happiness", "surprise", "happiness+surprise"]
    one = table(tmp_path, [{"from": f, "to": "any"} for f in ("happy", "surprise")] + [{"from": "x", "to": "none"}], "labels.csv")
    assert Manifest(table(tmp_path, rows), remap=one).task == "classes"


def test_action_units(tmp_path: Path, two: list[dict[str, object]]) -> None:
    rows = [{**two[0], "aus": "L12+AU6"}, {**two[1], "aus": "none"}, {**two[0], "clip": "uncoded", "aus": ""}, {**two[1], "clip": "odd", "aus": "4 or 5"}]
    manifest = Manifest(table(tmp_path, rows), "aus")
    assert (manifest.task, manifest.labels) == ("multi-label", ("AU6", "AU12"))
    with pytest.warns(MerzooWarning, match="2 of 4"):
        assert manifest.table()["emotion"].to_list() == ["AU6+AU12", ""]
    assert manifest.left_out() == {
        "csv:anna/uncoded": "nobody coded its action units", "csv:ben/odd": "its action units are unclear: 4 or 5 (undecided)",
    }  # fmt: skip
    without = table(tmp_path, [{"path": row["path"], "subject": row["subject"], "aus": row["aus"]} for row in rows[:2]])
    assert len(Manifest(without, "aus").table()) == 2
    with pytest.raises(DataError, match="lacks the column 'emotion'"):
        Manifest(without).table()


def test_macro_clips_need_no_label(tmp_path: Path, two: list[dict[str, object]]) -> None:
    manifest = Manifest(table(tmp_path, [*two, {**two[0], "emotion": "", "kind": "macro", "clip": "m"}]))
    assert checked(manifest.table(), manifest.labels)["emotion"].to_list() == ["happiness", "surprise", ""]
    assert "macro-clips" in manifest.provides


def test_one_end_of_an_interval_is_enough(tmp_path: Path, two: list[dict[str, object]]) -> None:
    made = Manifest(table(tmp_path, [{**two[0], "onset": 4}, {**two[1], "offset": 4}])).table()
    assert made[["start", "stop"]].to_numpy().tolist() == [[3, 11], [0, 3]]
    assert [note.split(":")[0] for note in made["corrections"]] == ["offset", "onset"]


def test_gaps_in_frame_numbers_mean_nothing_where_nothing_refers_to_them(tmp_path: Path, two: list[dict[str, object]]) -> None:
    pictures(tmp_path / "sparse", [f"f{n}.png" for n in range(0, 100, 10)])
    manifest = Manifest(table(tmp_path, [*two, {"path": "sparse", "subject": "anna", "emotion": "happy"}]))
    assert manifest.table()["frames"].to_list()[-1] == 10 and not manifest.reading.missing


@pytest.mark.parametrize("other", ["Anna", "ANNA"])
def test_two_spellings_of_one_person_are_refused(tmp_path: Path, two: list[dict[str, object]], other: str) -> None:
    with pytest.raises(DataError, match=f"'csv:anna' and 'csv:{other}' may be one person"):
        Manifest(table(tmp_path, [*two, {**two[0], "subject": other, "clip": "x"}])).table()
    with pytest.raises(DataError, match="'csv:s1' and 'csv:s01'"):
        Manifest(table(tmp_path, [{**two[0], "subject": "s1"}, {**two[1], "subject": "s01"}])).table()
    assert len(Manifest(table(tmp_path, [{**two[0], "subject": "s1"}, {**two[1], "subject": "s10"}])).table()) == 2


def test_spellings_of_one_name_that_look_alike_are_refused(tmp_path: Path, two: list[dict[str, object]]) -> None:
    composed, apart, wide = "Zo\u00eb", "Zoe\u0308", "\uff3a\uff4f\u00eb"
    for other in (apart, wide, composed.upper()):
        with pytest.raises(DataError, match="may be one person") as raised:
            Manifest(table(tmp_path, [{**two[0], "subject": composed}, {**two[1], "subject": other}])).table()
        assert other != apart or "'csv:Zo\\xeb' and 'csv:Zoe\\u0308'" in str(raised.value)


def test_the_same_frames_under_two_people_are_refused(tmp_path: Path, two: list[dict[str, object]]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "anna/c1")
    name = video(tmp_path / "v.avi", 40)
    part = {"path": "link", "subject": "ben", "emotion": "anger"}
    for rows in (
        [*two, part],
        [{**two[0], "onset": 1, "offset": 6}, two[1], {**part, "onset": 6, "offset": 9}],
        [
            {**two[0], "path": name, "onset": 3, "offset": 30},
            {**two[0], "path": name, "onset": 5, "offset": 9},
            {**part, "path": name, "onset": 20, "offset": 25},
        ],
        [two[0], two[1], {**two[0], "dataset": "lab", "clip": "x"}],
    ):
        with pytest.raises(
            DataError, match=r"clips.csv row 2 \(csv:anna\) and clips.csv row 4 \((csv:ben|lab:anna)\) give the same frames to two people|row 2 .*row 4"
        ):
            Manifest(table(tmp_path, rows)).table()
    apart = [{**two[0], "onset": 1, "offset": 6}, two[1], {**part, "onset": 7, "offset": 12}]
    assert len(Manifest(table(tmp_path, apart)).table()) == 3  # one after the other in one recording


@pytest.mark.filterwarnings("ignore::merzoo.errors.MerzooWarning")
def test_what_cannot_be_opened_says_so_in_one_line(tmp_path: Path, two: list[dict[str, object]]) -> None:
    good = table(tmp_path, two)
    cases = [
        (lambda: Manifest(tmp_path / "no.csv"), DataError, "is not there; give the path of your table"),
        (lambda: Manifest(tmp_path), DataError, "is a folder; .*--data folder --root DIR"),
        (lambda: Manifest(good, "5"), UnknownNameError, "part of csv"),
        (lambda: Manifest(good, release="both"), UsageError, "release is 'both'"),
        (lambda: Manifest(table(tmp_path, [{"path": "x"}], "a.csv")).table(), DataError, "lacks the column 'subject'"),
        (lambda: Manifest(table(tmp_path, [{**two[0], "path": "gone"}], "b.csv")).table(), DataError, "none of 1 clips .* b.csv row 2: anna/gone: .*not there"),
        (lambda: Manifest(table(tmp_path, two[:1], "c.csv")).table(), DataError, "all clips are 'happiness'"),
        (lambda: Manifest(table(tmp_path, [{**row, "emotion": ""} for row in two], "d.csv")).table(), DataError, "none of 2 clips is left .*no label"),
    ]
    for call, kind, message in cases:
        with pytest.raises(kind, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


def test_a_misspelt_column_is_told(tmp_path: Path, two: list[dict[str, object]]) -> None:
    with pytest.warns(MerzooWarning, match="column 'ofset' is not read; write 'offset'"):
        Manifest(table(tmp_path, [{**row, "ofset": 3, "age": 30} for row in two])).table()


CELLS = st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.sampled_from(["", "/", "..", "anna/c1", "ben/c1", "micro", "+", "a+b", "=1+1", "～"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELLS)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore::merzoo.errors.MerzooWarning")
def test_any_cells_give_a_table_or_one_line(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    if not folder.exists():
        clip(folder, "anna/c1"), clip(folder, "ben/c1")
    try:
        manifest = Manifest(table(folder, rows))
        kept = checked(manifest.table(), manifest.labels, manifest.task)
    except MerzooError as error:
        assert "\n" not in str(error)
        return
    assert len(kept) + len(manifest.reading.dropped) + len(manifest.left_out()) == manifest.reading.rows
