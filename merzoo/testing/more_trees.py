"""Small trees in the layouts of CAS(ME)^3, 4DME and DFEW, for tests of readers, and rows in the numbers that the field publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

from merzoo.testing.trees import WIDE, Annotated, pictures, workbook

CASME3_CLASSES = {"happy": 55, "disgust": 250, "fear": 86, "anger": 64, "sad": 57, "surprise": 187, "others": 158, "Others": 3}
CASME3_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
CASME3_BOTH_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Expression type", "Objective class")
CASME3_MISTAKES = {  # row from 0: (onset, apex, offset) as they stand in the second sheet, or as near as is known, and as they are meant
    128: ((112, 83, 130), (112, 123, 130)),
    708: ((20, 27, 3460), (20, 27, 34)),
    749: ((3647, 2650, 2660), (2647, 2650, 2660)),
    750: ((0, 0, 25), (1, 1, 25)),
    796: ((1830, 1838, 0), (1830, 1838, 1845)),
    798: ((2390, 2396, 0), (2390, 2396, 2403)),
}
CLASSES_4DME = ("Positive", "Negative", "Surprise", "Repression", "Others")


def casme3_rows() -> list[Annotated]:
    """CAS(ME)^3 part A, second sheet: 860 micro-expressions of 94 subjects, 6 of whom have "others" alone and 11 a single clip; the mistakes that are known."""
    people = [f"spNO.{number}" for number in range(1, 217, 2)][:94]
    single, residual, several = people[:11], people[11:17], people[11:]
    surprise, others = iter(single), cycle(residual)
    turn = cycle(several[6:])
    rows, count = [], dict.fromkeys(people, 0)
    for emotion, number in CASME3_CLASSES.items():
        for at in range(number):
            lone = next(surprise, None) if emotion == "surprise" else None
            who = lone or (next(others) if emotion.lower() == "others" and at < 40 else next(turn))
            count[who] += 1
            video, onset = "abcdefghijklm"[count[who] // 4 % 13], 100 + 40 * count[who]  # several in a video
            rows.append(Annotated(who, video, onset, onset + 8, onset + 16, "4+L12，R10", emotion))
    rows = sorted(rows, key=lambda row: (int(str(row.subject)[5:]), str(row.onset)))
    rows[3] = replace(rows[3], clip=rows[3].clip.upper())
    for at, (found, meant) in CASME3_MISTAKES.items():
        rows[at] = replace(rows[at], onset=found[0], apex=found[1], offset=found[2], disk=tuple(range(meant[0], meant[2] + 1)))
    return rows


def casme3(
    root: Path,
    micro: Sequence[Annotated],
    macro: Sequence[Annotated] | None = None,
    *,
    sheet: str = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    whole: str = "CAS(ME)3_part_A_v2.xls",
    micro_again: Sequence[Annotated] | None = None,
    clips: bool = False,
) -> Path:
    """CAS(ME)^3 part A. macro: rows of the sheet with both kinds (None: it is not there), micro_again: its micro rows, if they differ. clips: the release of
    micro-expressions alone."""
    cells = [(r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, "I", r.emotion) for r in micro]
    write_sheet(root / "annotation" / "partA" / sheet, {"label": [CASME3_HEADER, *cells], "Sheet1": []})
    if macro is not None:
        both = [(r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, "Macro-expression", "I") for r in macro]
        both += [(r.subject, r.clip, r.onset, r.apex, r.offset, r.aus, "Micro-expression", "I") for r in (micro if micro_again is None else micro_again)]
        blinks = [("Subject", "Filename", "Onset", "Offset"), ("spNO.1", "a", 357, 372)]
        write_sheet(root / "annotation" / "partA" / whole, {"AU+Emotion": [CASME3_BOTH_HEADER, *both], "eye blink": blinks})
    for row in (*micro, *(macro or ())):
        if row.disk == () or (clips and macro is not None and row in macro):
            continue
        folder = root / "part_A" / str(row.subject) / row.clip.lower() / "color"
        if clips:
            folder = root / "Part_A_ME_clip" / "frame" / f"{row.subject}_{row.clip}_{row.onset}"
        pictures(folder, [f"{number}.jpg" for number in row.frames], WIDE)
        pictures(Path(str(folder).replace("/frame/", "/depth/")) if clips else folder.with_name("depth"), [f"{row.frames[0]}.png"], WIDE)
    return root


def write_sheet(path: Path, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """An .xlsx or, with xlwt, an .xls, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xlsx":
        first, *others = tables
        workbook(path, tables[first], first, {title: tables[title] for title in others})
        return
    import xlwt

    book = xlwt.Workbook()
    for title, rows in tables.items():
        page = book.add_sheet(title)
        for at, row in enumerate(rows):
            for place, cell in enumerate(row):
                if cell is not None:
                    page.write(at, place, cell)
    book.save(str(path))


def fourdme_rows() -> list[Annotated]:
    """4DME: 267 micro-expressions with one emotion or two; the action units of rows 144 and 145 as they stand in the sheet, swapped."""
    emotions = cycle(["Negative", "Positive", "Surprise", "Surprise+Positive", "Repression", "Others", "Negative+Repression"])
    rows = []
    for at in range(267):
        onset = 1826 + at
        aus = {144: "AU12", 145: "AU4+AU7"}.get(at, "AU1+AU2(k)")
        rows.append(Annotated(at % 41 + 1, f"clip_{at:03d}", onset, onset + 1, onset + 2, aus, next(emotions)))
    return rows


def fourdme(
    root: Path, rows: Sequence[Annotated], *, sheet: str = "4DME_Labelling_Micro_release v1.xlsx", subject: str = "{}", first: int | None = None
) -> Path:
    """4DME, micro, with the columns of single emotions and units, and the extras file beside it. subject: how its folder is called. first: number of the first
    file of each clip, where that is not the onset."""
    units = (1, 2, 4, 7, 12)
    header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", *CLASSES_4DME, "eye blink", *(f"AU{unit}" for unit in units)]
    cells = []
    for row in rows:
        named = str(row.aus).replace("AU", "").replace("(k)", "").replace(" ", "").split("+")
        emotion = str(row.emotion).split("+")
        marks = [int(name in emotion) for name in CLASSES_4DME]
        cells.append([row.subject, row.clip, row.emotion, row.onset, row.apex, row.offset, row.aus, *marks, 0, *(int(str(unit) in named) for unit in units)])
        numbers = row.frames if first is None else range(first, first + len(row.frames))
        if row.disk != ():
            pictures(root / "gray_micro" / subject.format(row.subject) / row.clip, [f"Frame_{number:09d}.jpg" for number in numbers], WIDE)
    workbook(root / sheet, [header, *cells])
    extras: list[list[object]] = [["sub_ID", "fold_name", "self-report emo'", "video emo'"], *([r.subject, r.clip, "Amused", "Positive"] for r in rows[:3])]
    workbook(root / "4DME_Micro_extras.xlsx", extras)
    return root


def dfew(
    root: Path,
    labels: Mapping[int, int],
    *,
    tests: Sequence[Iterable[int]] | None = None,
    trains: Mapping[int, Iterable[int]] | None = None,
    layout: str = "clip_224x224_16f",
    frames: int = 3,
    votes: bool = False,
    clips: Iterable[int] | None = None,
) -> Path:
    """DFEW. labels: {clip: 0 to 7}, of which those above 0 are in the splits. tests: clips of the test sets, in fifths by default; trains: what a train set
    holds instead of the rest. layout: a folder of the release, or "authors" for the tree of their code. clips: on disk, by default all of `labels`."""
    single = [clip for clip, label in labels.items() if label]
    tests = [single[k::5] for k in range(5)] if tests is None else tests
    authors = layout == "authors"
    for k, test in enumerate(tests, 1):
        held = set(test)
        sets = {"test": sorted(held), "train": sorted((trains or {}).get(k, [clip for clip in single if clip not in held]))}
        for kind, members in sets.items():
            name = (
                f"data_affine/single_label/label/single_{kind}set_{k}.csv" if authors else f"DFEW-part2/EmoLabel_DataSplit/{kind}(single-labeled)/set_{k}.csv"
            )
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{clip},{labels[clip]}\n" for clip in members), encoding="utf-8")
    top = root / ("data_affine/single_label/data" if authors else f"DFEW-part2/Clip/{layout}")
    for clip in labels if clips is None else clips:
        pictures(top / f"{clip:05d}", [f"{clip:05d}_{n:05d}.jpg" if authors else f"{n}.jpg" for n in range(1, frames + 1)], (24, 24))
    if votes:
        header = ["order", "1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "annotation"]
        rows = [[clip, *(9 if n == label else int(n == label % 7 + 1) for n in range(1, 8)), label] for clip, label in labels.items()]
        workbook(root / "DFEW-part2/Annotation/annotation.xlsx", [header, *rows])
    return root
