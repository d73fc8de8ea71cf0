"""CAS(ME)^3 part A: both sheets, both layouts, published counts, and every quirk that is known of them."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from merzoo.data.readers.casme3 import CasmeIII
from merzoo.data.readers.labels import published
from merzoo.data.readers.reading import Recording
from merzoo.data.sources import open_dataset
from merzoo.data.table import checked
from merzoo.data.verify import verify
from merzoo.errors import DataError, UnknownNameError
from merzoo.specs import Preprocessing
from merzoo.testing.more_trees import CASME3_MISTAKES, casme3, casme3_rows, write_sheet
from merzoo.testing.trees import WIDE, Annotated, pictures

pytest.importorskip("openpyxl")
pytest.importorskip("xlrd")
pytest.importorskip("xlwt")
MICRO = [
    Annotated("spNO.1", "a", 355, 359, 380, "5", "happy"),
    Annotated("spNO.1", "a", 116, 120, 140, "L1+R2", "disgust"),
    Annotated("spNO.10", "c", 20, 24, 40, "4", "others"),
]
MACRO = [Annotated("spNO.1", "a", 116, 130, 300, "4+15+R10"), Annotated("spNO.10", "m", 5, 6, 30, "12")]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> CasmeIII:
    return CasmeIII(casme3(tmp_path_factory.mktemp("full"), casme3_rows(), MACRO))


def clips(dataset: CasmeIII) -> dict[str, Recording]:
    return dataset.reading.recordings


@pytest.mark.parametrize("part", ["3", "4", "7"])
def test_published_counts(full: CasmeIII, part: str) -> None:
    dataset = full.with_part(part)
    table = checked(dataset.table(), dataset.labels, dataset.task)
    micro = table[table["kind"] == "micro"]
    wanted = [p for p in published("casme3") if p.part == part and "v2" in p.sheet]
    assert wanted
    for p in wanted:
        found = micro[micro["emotion"] == p.label] if p.label else micro
        assert len(found) == p.samples, p
        assert p.subjects in (None, found["subject"].nunique()), p


def test_published_counts_of_the_sheet(full: CasmeIII) -> None:
    rows = [(subject, emotion) for kind, subject, emotion in full.reading.annotated if kind == "micro"]
    counts = Counter(emotion for _, emotion in rows)
    wanted = {p.label: p.samples for p in published("casme3") if p.part == "sheet" and "v2" in p.sheet}
    assert {"": len(rows), **counts} == wanted
    assert len({subject for subject, _ in rows}) == 94
    assert sum(number == 1 for number in Counter(subject for subject, _ in rows).values()) == 11


def test_corrections_check_the_old_value_and_are_told(full: CasmeIII) -> None:
    assert len(full.reading.corrections) == 7 and all(correction.applied for correction in full.reading.corrections)
    rows = casme3_rows()
    for at, (_, meant) in CASME3_MISTAKES.items():
        clip = clips(full)[f"casme3:{int(str(rows[at].subject)[5:]):03d}/{rows[at].clip}@{meant[0]}"]
        assert [clip.names[frame] for frame in (clip.start, clip.peak, clip.stop)] == [f"{number}.jpg" for number in meant]
        assert any("meb" in note for note in clip.notes)
    assert not full.reading.missing and not full.reading.apexes


def test_a_mended_sheet_stays(tmp_path: Path) -> None:
    rows = casme3_rows()
    for at, (_, meant) in CASME3_MISTAKES.items():
        rows[at] = Annotated(rows[at].subject, rows[at].clip, *meant, "4", rows[at].emotion)
    dataset = CasmeIII(casme3(tmp_path, rows))
    assert not any(correction.applied for correction in dataset.reading.corrections)
    assert len(clips(dataset)) == 860


def test_upper_case_video_is_the_lower_case_one(full: CasmeIII) -> None:
    row = casme3_rows()[3]
    assert row.clip.isupper()
    assert f"casme3:{int(str(row.subject)[5:]):03d}/{row.clip.lower()}@{row.onset}" in clips(full)


def test_clip_id_includes_the_onset(tmp_path: Path) -> None:
    table = CasmeIII(casme3(tmp_path, MICRO)).table()
    assert sorted(table["clip_id"]) == ["a@116", "a@355", "c@20"]
    assert set(table["subject"]) == {"casme3:001", "casme3:010"}
    assert table["sample_id"].is_unique


def test_a_video_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from merzoo.data.readers import casme3_frames

    listed: list[Path] = []
    frames_in = casme3_frames.frames_in
    monkeypatch.setattr(casme3_frames, "frames_in", lambda folder: listed.append(folder) or frames_in(folder))
    reading = CasmeIII(casme3(tmp_path, MICRO, MACRO)).reading
    assert len(reading.recordings) == 5
    assert len(listed) == len(set(listed)) == 3


def test_macro_clips_have_no_emotion_and_at_most_64_frames(tmp_path: Path) -> None:
    dataset = CasmeIII(casme3(tmp_path, MICRO, MACRO))
    assert dataset.provides == ("emotion-labels", "au-labels", "macro-clips")
    long, short = clips(dataset)["casme3:001/a@116-300"], clips(dataset)["casme3:010/m@5-30"]
    assert (long.kind, long.emotion, len(long.names), long.start, long.stop) == ("macro", "", 64, 0, 63)
    assert [long.names[frame] for frame in (0, long.peak, 63)] == ["116.jpg", "130.jpg", "300.jpg"]
    assert any("64 of 185 frames kept" in note for note in long.notes)
    numbers = [int(name[:-4]) for name in long.names]
    assert max(b - a for a, b in pairwise(numbers)) <= 5
    assert (len(short.names), short.start, short.stop, short.peak) == (26, 0, 25, 1)
    assert not dataset.reading.apexes
    table = checked(dataset.table(), dataset.labels, dataset.task)
    assert table[table["kind"] == "macro"]["emotion"].eq("").all()
    units = dataset.with_part("aus")
    table = checked(units.table(), units.labels, units.task)
    assert dict(zip(table["clip_id"], table["emotion"], strict=True))["a@116-300"] == "AU4+AU10+AU15"


def test_micro_sheet_alone_offers_no_macro_clips(tmp_path: Path) -> None:
    dataset = CasmeIII(casme3(tmp_path, MICRO))
    assert dataset.provides == ("emotion-labels", "au-labels")
    assert any("no sheet of macro-expressions" in remark for remark in dataset.reading.remarks)


def test_release_of_micro_expressions_alone(tmp_path: Path) -> None:
    dataset = CasmeIII(casme3(tmp_path, MICRO, MACRO, clips=True))
    assert {clip.folder.name for clip in clips(dataset).values()} == {"spNO.1_a_355", "spNO.1_a_116", "spNO.10_c_20"}
    assert {clip.folder.parent.name for clip in clips(dataset).values()} == {"frame"}
    assert dataset.provides == ("emotion-labels", "au-labels")
    assert any("2 macro-expressions" in remark for remark in dataset.reading.remarks) and not dataset.reading.dropped


def test_clips_numbered_anew_are_taken_if_their_number_fits(tmp_path: Path) -> None:
    rows = [Annotated("spNO.2", "b", onset, onset + 4, onset + 10, "4", "fear") for onset in (50, 150, 250)]
    root = casme3(tmp_path, [Annotated("spNO.1", "a", 1, 2, 3, "4", "sad"), *rows], clips=True)
    for onset, numbers in ((50, range(1, 12)), (150, range(1, 10)), (250, (*range(1, 5), *range(6, 12)))):  # as many, fewer, with a gap
        folder = root / "Part_A_ME_clip/frame" / f"spNO.2_b_{onset}"
        for file in folder.iterdir():
            file.unlink()
        pictures(folder, [f"{n}.jpg" for n in numbers], WIDE)
    reading = CasmeIII(root).reading
    clip = reading.recordings["casme3:002/b@50"]
    assert (clip.names[clip.start], clip.names[clip.peak], clip.names[clip.stop]) == ("1.jpg", "5.jpg", "11.jpg")
    assert any("files 1 to 11 are frames 50 to 60" in note for note in clip.notes)
    assert [row.what for row in reading.dropped] == ["002/b@150", "002/b@250"]


@pytest.mark.parametrize(
    ("sheet", "whole"),
    [("cas(me)3_part_A_ME_label_JpgIndex_v1.xls", "CAS(ME)3_part_A_v1.xls"), ("cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", "CAS(ME)3_part_A_v2.xlsx")],
)
def test_both_versions_and_both_formats(tmp_path: Path, sheet: str, whole: str) -> None:
    dataset = CasmeIII(casme3(tmp_path, MICRO, MACRO, sheet=sheet, whole=whole))
    assert [path.name for path in dataset.reading.sheets] == [sheet, whole]
    assert len(clips(dataset)) == 5
    assert len(dataset.reading.corrections) == (7 if "v2" in sheet else 0)


def test_the_second_version_is_read_where_both_are(tmp_path: Path) -> None:
    casme3(tmp_path, MICRO[:1], MACRO[:1], sheet="cas(me)3_part_A_ME_label_JpgIndex_v1.xls", whole="CAS(ME)3_part_A_v1.xls")
    reading = CasmeIII(casme3(tmp_path, MICRO, MACRO)).reading
    assert [path.name for path in reading.sheets] == ["cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", "CAS(ME)3_part_A_v2.xls"]
    assert any("v1.xls is not" in remark for remark in reading.remarks)


def test_sheets_that_disagree_are_reported(tmp_path: Path) -> None:
    again = [Annotated("spNO.1", "A", 355, 359, 381, "5"), Annotated("spNO.1", "a", 116, 120, 140, "2+1"), Annotated("spNO.9", "a", 1, 2, 3, "4")]
    reading = CasmeIII(casme3(tmp_path, MICRO, MACRO, micro_again=again)).reading
    told = "\n".join(reading.remarks)
    assert "1 disagreements" in told and "001/a@355: 381 against 380" in told
    assert "are not in cas(me)3" in told and "009/a@1" in told
    assert "are not in CAS(ME)3" in told and "010/c@20" in told
    assert "on aus" not in told
    assert len(reading.recordings) == 5


def test_sheets_that_agree_are_silent(full: CasmeIII) -> None:
    assert not any("disagree" in remark or "not in" in remark for remark in full.reading.remarks)


def test_implausible_lengths_are_kept_with_a_note(tmp_path: Path) -> None:
    rows = [Annotated("spNO.1", "a", 1, 50, onset, "4", "fear") for onset in (99, 100)]
    rows += [Annotated("spNO.2", "a", 1, 5, offset, "4", "fear") for offset in (15, 16)]
    rows[1] = Annotated("spNO.1", "b", 1, 50, 100, "4", "fear")
    rows[3] = Annotated("spNO.2", "b", 1, 5, 16, "4", "fear")
    dataset = CasmeIII(casme3(tmp_path, rows))
    notes = {clip.clip_id + clip.subject[-1]: " ".join(clip.notes) for clip in clips(dataset).values()}
    assert [key for key, note in notes.items() if "long" in note] == ["b@11"]
    assert [key for key, note in notes.items() if "short" in note] == ["a@12"]
    assert sum("1 micro-expressions have" in remark for remark in dataset.reading.remarks) == 2
    assert len(dataset.table()) == 4


def test_covered_faces_are_dropped_with_the_authors_reason(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion", "问题", "我们目前的解决方法"]
    rows = [
        ["spNO.1", "a", 116, 120, 140, "1", "V", "disgust", "apex脸部被手遮盖", "去除该张"],
        ["spNO.10", "c", 20, 24, 40, "4", "V", "others", "Onset、Apex帧不存在", "Onset、Apex帧均+1"],
    ]
    write_sheet(root / "exception" / "casme3_partA_error_list_ZhouJu.xlsx", {"Sheet1": [header, *rows]})
    reading = CasmeIII(root).reading
    assert sorted(reading.recordings) == ["casme3:001/a@355", "casme3:010/c@20"]
    (dropped,) = reading.dropped
    assert dropped.what == "001/a@116" and "face covered at the apex" in dropped.why and "row 2" in dropped.why


def test_images_that_do_not_open_count_as_missing(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    (root / "exception").mkdir()
    (root / "exception" / "error_info_damaged_image_partA.txt").write_text("spNO.1 A 357.jpg  the image cannot open\nspNO.1 A 359.jpg  the image cannot open\n")
    reading = CasmeIII(root).reading
    clip = reading.recordings["casme3:001/a@355"]
    assert not {"357.jpg", "359.jpg"} & set(clip.names) and clip.names[clip.peak] == "358.jpg"
    assert reading.missing == {clip.sample_id: 2} and clip.sample_id in reading.apexes


def test_missing_frames_are_tolerated_and_reported(tmp_path: Path) -> None:
    row = Annotated("spNO.1", "a", 10, 12, 30, "4", "fear", disk=tuple(n for n in range(10, 31) if n not in (11, 20)))
    reading = CasmeIII(casme3(tmp_path, [row])).reading
    assert reading.missing == {"casme3:001/a@10": 2}


def test_offset_0_that_nobody_corrected_is_dropped_with_its_reason(tmp_path: Path) -> None:
    rows = [*MICRO, Annotated("spNO.3", "a", 100, 110, 0, "4", "fear", disk=(100, 101))]
    (dropped,) = CasmeIII(casme3(tmp_path, rows)).reading.dropped
    assert dropped.what == "003/a@100" and "offset 0 is not after onset 100" in dropped.why and dropped.where.endswith("row 5")


def test_full_width_comma_and_both_spellings_of_others(full: CasmeIII, tmp_path: Path) -> None:
    table = full.with_part("aus").table()
    assert set(table[table["kind"] == "micro"]["emotion"]) == {"AU4+AU10+AU12"}
    table = CasmeIII(casme3(tmp_path, [*MICRO, Annotated("spNO.3", "b", 1, 2, 3, "4", "Others")])).table()
    assert list(table["emotion"]).count("others") == 2


def test_videos_without_rows_are_listed(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    pictures(root / "part_A/spNO.1/k/color", ["1.jpg"], WIDE)
    pictures(root / "part_B/spNO.2/k/color", ["1.jpg"], WIDE)
    assert CasmeIII(root).reading.unlabelled == ["part_A/spNO.1/k/color"]


def test_pickled_and_opened_by_name(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO, MACRO)
    assert set(open_dataset("casme3:3", roots={"": root}).table()["emotion"]) == {"positive", "negative", ""}
    dataset = pickle.loads(pickle.dumps(CasmeIII(root, "3")))
    assert len(dataset.table()) == 4  # without "others", with two macro clips
    assert dataset.manifest_hash == CasmeIII(root, "3").manifest_hash != CasmeIII(root).manifest_hash
    assert dataset.sources[0].lengths()["casme3:001/a@116"] == 33  # 8 frames on either side are kept where they exist


def test_crops_of_the_released_pictures_need_a_face(tmp_path: Path) -> None:
    dataset = CasmeIII(casme3(tmp_path, MICRO))
    with pytest.raises(DataError, match="no face is found"):
        dataset.sources[0].crops("casme3:010/c@20", Preprocessing())


def test_wrong_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; give the folder"):
        CasmeIII(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no annotation file"):
        CasmeIII(tmp_path).reading  # noqa: B018
    with pytest.raises(UnknownNameError, match="its parts: 3, 4, 7, aus"):
        CasmeIII(tmp_path, "5")


def test_half_extracted_tree(tmp_path: Path) -> None:
    root = casme3(tmp_path, [Annotated(r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, r.emotion, disk=()) for r in MICRO])
    with pytest.raises(DataError, match=r"no folders spNO.1/a/color .* extract part_A"):
        CasmeIII(root).reading  # noqa: B018
    pictures(root / "part_A/spNO.200/a/color", ["1.jpg"], WIDE)
    with pytest.raises(DataError, match="no clip of 3 annotations has its frames"):
        CasmeIII(root).reading  # noqa: B018
    pictures(root / "part_A/spNO.10/c/color", [f"{n}.jpg" for n in range(20, 41)], WIDE)
    reading = CasmeIII(root).reading
    assert list(reading.recordings) == ["casme3:010/c@20"] and [row.why for row in reading.dropped] == ["no frames on disk"] * 2


def test_sheet_without_its_columns(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    write_sheet(root / "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [("Subject", "Filename", "Onset"), ("spNO.1", "a", 355)]})
    with pytest.raises(DataError, match="lacks the column 'offset'") as caught:
        CasmeIII(root).reading  # noqa: B018
    assert "\n" not in str(caught.value)


def test_sheet_with_a_password(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512 + "EncryptedPackage".encode("utf-16-le")
    (root / "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx").write_bytes(locked)
    with pytest.raises(DataError, match="is password protected; remove the password"):
        CasmeIII(root).reading  # noqa: B018


def test_rows_that_name_nobody_are_dropped_with_their_reason(tmp_path: Path) -> None:
    root = casme3(tmp_path, MICRO)
    odd = [("subject one", "a", 1, 2, 3, "4", "I", "fear"), ("spNO.1", None, 1, 2, 3, "4", "I", "fear"), ("spNO.1", "a", 355, 359, 380, "5", "I", "happy")]
    cells = [(r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, "I", r.emotion) for r in MICRO]
    header = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
    write_sheet(root / "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [header, *cells, *odd]})
    reading = CasmeIII(root).reading
    assert reading.rows == 6 and len(reading.recordings) == 3
    assert sorted(row.why for row in reading.dropped) == ["no subject (spNO.<number>) or video letter"] * 2 + ["the same clip stands in an earlier row"]


def test_verify_agrees_with_what_is_published_and_tells_what_was_seen(full: CasmeIII) -> None:
    made = verify(full)
    assert made["agrees"] and not made["differs"] and made["clips"] == {"micro": 860, "macro": 2}
    assert made["remarks"] == full.reading.remarks and made["remarks"]
