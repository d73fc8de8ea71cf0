"""Rows in the numbers that the field publishes, for trees as large as the licensed data sets; which clip has which emotion is made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle

from merzoo.testing.trees import Annotated, Short

CASME2_CLASSES = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25, "sadness": 7, "fear": 2}
SAMM_CLASSES = {"Anger": 57, "Happiness": 26, "Other": 26, "Surprise": 15, "Contempt": 12, "Disgust": 9, "Fear": 8, "Sadness": 6}
SMIC_CLASSES = {"ne": 70, "po": 51, "sur": 43}
MMEW_CLASSES = {"happiness": 36, "surprise": 89, "disgust": 72, "fear": 16, "sadness": 13, "anger": 8, "others": 66}
SAMM_SUBJECTS = (6, 7, *range(9, 27), 28, *range(30, 38))
SMIC_SUBJECTS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
SAMM_FOUR_DIGITS = ("013_1_12", "013_1_8", "017_3_2", "026_1_1", "026_1_2", "035_7_2")
SAMM_OR = (15, 18, 41, 64, 154)  # rows whose action units hold an "or"


def casme2_rows(updated: bool = True) -> list[Annotated]:
    """CASME II: 255 rows, 256 in the updated sheet, with the mistakes that are known: row 60, "/" for an apex, a clip short of frames."""
    most = [subject for subject in range(1, 27) if subject not in (10, 18)]  # who has more than "others"
    # Two clips with disgust that MEGC2019 leaves out, and one that is short of frames.
    names = {(4, "disgust"): ["EP12_01f"], (5, "disgust"): ["EP12_03f"], (16, "happiness"): ["EP01_08"]}
    rows = []
    count: Counter[int] = Counter()
    for emotion, subject in _people(CASME2_CLASSES, most, {"others": [18, 18, 18, 10, 10]}):
        count[subject] += 1
        known = names.get((subject, emotion), [])
        clip = known.pop() if known else f"EP{count[subject]:02d}_10f"
        rows.append(Annotated(subject, clip, 100, 101, 102, "4+L10", emotion))
    rows = sorted(rows, key=lambda row: (int(str(row.subject)), row.clip))
    if updated:
        rows.append(Annotated(24, "EP02_07", 100, 101, 102, "4", "disgust"))
    rows[60] = replace(rows[60], onset=88, apex=89, offset=19, disk=(88, 89, 90, 91))
    for at in range(100, 121):
        rows[at] = replace(rows[at], apex="/")
    short = next(at for at, row in enumerate(rows) if (row.subject, row.clip) == (16, "EP01_08"))
    rows[short] = replace(rows[short], apex=101, offset=107, disk=(100, 101, 103))
    return rows


def samm_rows() -> list[Annotated]:
    """SAMM: 159 rows with the mistakes that are known: rows 56, 125, 132 and 133, action units with "or"."""
    rows = []
    count: Counter[int] = Counter()
    names = {int(name[:3]): [n for n in reversed(SAMM_FOUR_DIGITS) if n[:3] == name[:3]] for name in SAMM_FOUR_DIGITS}
    without = {"Disgust": [24], "Other": [25]}  # 024 is in no 5-class list, 025 in no 3-class list
    for emotion, subject in _people(SAMM_CLASSES, [s for s in SAMM_SUBJECTS if s not in (24, 25)], without):
        count[subject] += 1
        clip = names[subject].pop() if names.get(subject) else f"{subject:03d}_4_{count[subject]}"
        rows.append(Annotated(subject, clip, 5560, 5561, 5562, "4 + R12B", "Others" if (emotion, count[subject]) == ("Other", 4) else emotion))
    rows = sorted(rows, key=lambda row: (int(str(row.subject)), row.clip))
    for at in SAMM_OR:
        rows[at] = replace(rows[at], aus="12 or 14+L4A")
    rows[56] = replace(rows[56], onset=5737, apex=5738, offset=573, disk=(5737, 5738, 5739))
    for at, (apex, found) in {125: (1105, None), 132: (4945, 0), 133: (5130, "/")}.items():
        rows[at] = replace(rows[at], onset=apex - 1, apex=found, offset=apex + 1)
    return rows


def smic_clips() -> list[Short]:
    """SMIC-HS: 164 clips."""
    count: Counter[tuple[int, str]] = Counter()
    clips = []
    for code, subject in _people(SMIC_CLASSES, SMIC_SUBJECTS, {}):
        count[subject, code] += 1
        clips.append(Short(subject, code, count[subject, code]))
    return clips


def mmew_rows() -> list[Annotated]:
    """MMEW: 300 rows of 30 people."""
    numbers = {emotion: number for number, emotion in enumerate(MMEW_CLASSES, 1)}
    count: Counter[tuple[int, str]] = Counter()
    rows = []
    for emotion, subject in _people(MMEW_CLASSES, range(1, 31), {}):
        count[subject, emotion] += 1
        rows.append(Annotated(subject, f"S{subject:02d}-{numbers[emotion]:02d}-{count[subject, emotion]:03d}", 1, 2, 3, "6+12", emotion))
    return rows


def _people(classes: Mapping[str, int], subjects: Sequence[int], first: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int]]:
    """(emotion, subject) of as many clips as there are: the subjects in turn, after those that `first` gives to an emotion."""
    turn = cycle(subjects)
    for emotion, number in classes.items():
        given = list(first.get(emotion, ()))
        for subject in given + [next(turn) for _ in range(number - len(given))]:
            yield emotion, subject
