"""Known mistakes in sheets are mended where the old value is the one that is meant, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from merzoo.data.readers.corrections import TIMES, Correction, apply, corrections
from merzoo.data.readers.sheets import Row
from merzoo.errors import DataError

V2 = Path("annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx")
DME = Path("4DME_Labelling_Micro_release v1.xlsx")


def rows(count: int, first: int = 2, **at: dict[str, object]) -> list[Row]:
    """Sound rows, but for those named ("r60": {"offset": 9})."""
    sound = {"subject": 1, "filename": "a", "onset": 10, "apex": 15, "offset": 20, "aus": "4+12"}
    return [Row(first + i, sound | at.get(f"r{i}", {})) for i in range(count)]


def outcome(dataset: str, sheet: str | Path, found: list[Row], known: list[Correction] | None = None) -> tuple[dict[int, dict[str, object]], list[str]]:
    """Changed cells by position, and why the others were not."""
    mended, applied = apply(dataset, Path(sheet), found, known)
    changed = {i: {k: v for k, v in new.cells.items() if v != old.cells[k]} for i, (old, new) in enumerate(zip(found, mended, strict=True)) if new != old}
    assert sum(map(len, changed.values())) == sum(a.applied for a in applied)
    return changed, [a.why_not for a in applied if not a.applied]


def rule(**change: object) -> Correction:
    return replace(Correction("x", "*", 0, {}, "apex", "5", "12", "us", "for a test"), **change)


def test_the_list_holds_what_is_known() -> None:
    known = {(c.dataset, c.row, c.field): c.new for c in corrections()}
    assert known == {
        ("casme2", 60, "offset"): "91",
        ("samm", 56, "offset"): "5739", ("samm", 125, "apex"): "1105", ("samm", 132, "apex"): "4945", ("samm", 133, "apex"): "5130",
        ("casme3", 128, "apex"): "123", ("casme3", 708, "offset"): "34", ("casme3", 749, "onset"): "2647", ("casme3", 750, "onset"): "1",
        ("casme3", 750, "apex"): "1", ("casme3", 796, "offset"): "1845", ("casme3", 798, "offset"): "2403",
        ("4dme", 144, "aus"): "row 145", ("4dme", 145, "aus"): "row 144", ("4dme", 26, "apex"): "2490",
    }  # fmt: skip
    assert all(c.source and c.note and c.old for c in corrections())


def test_casme3_literal_values() -> None:
    wrong = rows(
        860, r128={"onset": 112, "apex": 83, "offset": 130}, r708={"onset": 3, "apex": 20, "offset": "3460"},
        r749={"onset": 3647, "apex": 2650, "offset": 2660}, r750={"onset": 0.0, "apex": 0, "offset": 9},
        r796={"onset": 1830, "apex": 1840, "offset": 0}, r798={"onset": 2390, "apex": 2400, "offset": 0},
    )  # fmt: skip
    changed, refused = outcome("casme3", V2, wrong)
    assert not refused
    assert changed == {
        128: {"apex": 123}, 708: {"offset": 34}, 749: {"onset": 2647}, 750: {"onset": 1, "apex": 1}, 796: {"offset": 1845}, 798: {"offset": 2403},
    }  # fmt: skip


def test_a_mended_sheet_stays_and_says_so() -> None:
    found = rows(860, r128={"onset": 112, "apex": 123, "offset": 130})
    changed, refused = outcome("casme3", V2, found)
    assert not changed and refused[:2] == ["found 123, not 83", "found 20, not 3460"]
    applied = apply("casme3", V2, found)[1][0]
    assert applied.text.startswith("row 130 apex -> 123 not applied: found 123, not 83 (meb, meb/datasets/datasets.py: apex before onset 112;")


def test_row_and_key_must_both_agree() -> None:
    changed, refused = outcome("casme3", V2, rows(200, r128={"onset": 111, "apex": 83}))
    assert not changed and refused[0] == "found no data row 128 onset 112"


def test_another_sheet_or_data_set_is_left_alone() -> None:
    wrong = rows(860, r708={"offset": 3460})
    for dataset, sheet in (("casme3", "CAS(ME)3_part_A_v2.xls"), ("casme2", V2.name), ("casme3", "cas(me)3_part_A_ME_label_JpgIndex.xlsx")):
        assert outcome(dataset, sheet, wrong) == ({}, [])
    assert len(outcome("casme3", str(V2).upper(), wrong)[0]) == 1


@pytest.mark.parametrize("apex", ["/", None, "", float("nan"), 9, 21, "#N/A"])
def test_samm_apex_missing_or_outside(apex: object) -> None:
    wrong = rows(159, first=15, r125={"onset": 1100, "offset": 1110, "apex": apex})
    assert outcome("samm", "SAMM_Micro_FACS_Codes_v2.xlsx", wrong)[0] == {125: {"apex": 1105}}


def test_a_sound_apex_is_kept() -> None:
    found = rows(159, first=15, r125={"onset": 1100, "offset": 1110, "apex": 1103})
    changed, refused = outcome("samm", "SAMM_Micro_FACS_Codes_v2.xlsx", found)
    assert not changed and refused[0] == "found 1103, not missing or outside"


@pytest.mark.parametrize("offset", ["/", 9, 64, 500])
def test_casme2_offset(offset: object) -> None:
    wrong = rows(255, r60={"onset": 51, "apex": 66, "offset": offset})
    assert outcome("casme2", "CASME2-coding-20190701.xlsx", wrong) == ({60: {"offset": 91}}, [])


def test_a_sorted_sheet_is_not_mended_blindly() -> None:
    """Row 60 is another clip there: its offset is missing too, but 91 would come before its onset."""
    changed, refused = outcome("casme2", "CASME2-coding-20190701.xlsx", rows(255, r60={"onset": 300, "apex": 310, "offset": "/"}))
    assert not changed and refused == ["found /, and 91 would be out of order too"]


def test_rows_are_counted_below_the_header_empty_ones_included() -> None:
    found = rows(255, r60={"offset": "/", "onset": 80, "apex": 85})
    assert set(outcome("casme2", "CASME2-coding.xlsx", found)[0]) == {60}
    del found[30]  # an empty row, which read_sheet leaves out
    assert set(outcome("casme2", "CASME2-coding.xlsx", found)[0]) == {59}


def test_4dme_swaps_what_stands_in_two_rows() -> None:
    found = rows(267, r144={"aus": "1+2"}, r145={"aus": "4"})
    assert outcome("4dme", DME, found) == ({144: {"aus": "4"}, 145: {"aus": "1+2"}}, [])
    assert outcome("4dme", DME, rows(267)) == ({}, ["found 4+12, not unlike-new"] * 2)
    assert outcome("4dme", DME, rows(145)) == ({}, ["row 145 holds nothing", "found no data row 145"])


def test_4dme_older_sheet() -> None:
    wrong = rows(30, r26={"onset": 2480, "apex": 249, "offset": 2500})
    assert outcome("4dme", "4DME_micro.xlsx", wrong)[0] == {26: {"apex": 2490}}
    assert not outcome("4dme", DME, wrong)[0]


def test_changed_rows_carry_a_note() -> None:
    mended, applied = apply("x", Path("a.csv"), rows(1), [rule(old="15"), rule(old="10", field="onset", new="11")])
    assert mended[0].notes == ("apex 15 -> 12 (us: for a test)", "onset 10 -> 11 (us: for a test)")
    assert [a.text for a in applied] == ["row 2 apex 15 -> 12 (us: for a test)", "row 2 onset 10 -> 11 (us: for a test)"]


def test_keys_alone_find_every_row_they_fit() -> None:
    known = [rule(row=None, keys={"subject": "1", "filename": "A"}, old="15")]
    assert set(outcome("x", "a.csv", rows(3, r1={"filename": "b"}), known)[0]) == {0, 2}


def test_conditions() -> None:
    def mends(old: str, field: str = "apex", new: str = "12", **cells: object) -> bool:
        return bool(outcome("x", "a.csv", rows(1, r0=cells), [rule(old=old, field=field, new=new)])[0])

    assert mends("before-onset", apex=9) and not mends("before-onset", apex=21) and not mends("before-onset", apex="/")
    assert mends("outside", apex=9) and mends("outside", apex=21) and not mends("outside", apex=20)
    assert mends("outside", "offset", "18", offset=14) and mends("outside", "onset", "3", onset=16) and not mends("outside", "onset", "3")
    assert mends("longer-than-9", "offset", "18") and not mends("longer-than-10", "offset", "18")
    assert mends("missing", apex="/") and not mends("missing", apex=9)
    assert mends("9", apex=9.0) and mends("9", apex=" 9 ") and not mends("9", apex=19)


def test_a_column_that_is_not_there() -> None:
    found = [Row(2, {"subject": 1})]
    mended, applied = apply("x", Path("a.csv"), found, [rule()])
    assert mended == found and applied[0].why_not == "the sheet has no column apex"
    assert apply("x", Path("a.csv"), [], [rule()])[1][0].why_not == "found no data row 0"


def test_a_damaged_list_is_one_line(tmp_path: Path) -> None:
    for text in ("dataset,sheet\nx,y\n", "dataset,sheet,row,subject,filename,onset,field,old,new,source,note\nx,*,,,,,apex,1,2,us,\n"):
        (tmp_path / "c.csv").write_text(text)
        corrections.cache_clear()
        with pytest.raises(DataError, match="is no list of corrections") as error:
            corrections(tmp_path / "c.csv")
        assert "\n" not in str(error.value)


def test_fields_are_those_of_the_readers() -> None:
    assert {c.field for c in corrections()} <= {*TIMES, "aus"}
