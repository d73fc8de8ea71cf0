"""DFEW (Jiang et al. 2020): faces cut from films, 7 emotions, 5 official splits; ordinary expressions, to pre-train on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.base import Recorded
from merzoo.data.readers.dfew_sheets import Annotation, read_splits, read_votes
from merzoo.data.readers.frames import frames_in
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.tree import DEPTH, find_folder, walk

FOLDERS = ("clip_224x224_16f", "clip_224x224", "data")  # sixteen frames a clip before all of them
CLIP = r"[0-9]{1,5}"
FRAMES = 16  # a clip that are kept, evenly spread: as many as its authors give and papers use
EMOTIONS = ("", "happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")  # by label; 0: the ten annotators agreed on none


class Dfew(Recorded):
    """Splits `EmoLabel_DataSplit/train(single-labeled)/set_1.csv` and `test(single-labeled)/set_1.csv` to 5, or `single_trainset_1.csv` and
    `single_testset_1.csv`; frames `Clip/clip_224x224_16f/00001/*.jpg`, `Clip/clip_224x224/00001/*.jpg` or `data/00001/00001_00001.jpg`, faces cut out already;
    the votes in `annotation.xlsx` where it is there.

    Who is seen in a clip is not said, so every clip is a subject of its own ("dfew:00001"): folds by subject say nothing about people here, the official folds
    (column "fold": the number of the test set) are the ones to use, and one actor may be on both sides of them. Clips without a single label have none and
    stand in no fold. The first 16-frame release that is there is read, else 16 frames of each clip are kept. No apex is annotated: the first, middle and last
    frame stand for onset, apex and offset. Film runs at about 24 frames a second; at which rate the released frames were taken is not said (our choice: 24).
    """

    name = "dfew"
    title = "DFEW"
    ask = "sign the licence agreement on the DFEW page (dfew-dataset.github.io) and mail it from an academic address; the archives' password comes by mail"
    fps = 24.0
    default_part: ClassVar[str] = "7"
    has_aus: ClassVar[bool] = False
    closed: ClassVar[str] = CLIP

    @property
    def provides(self) -> tuple[str, ...]:
        """All its clips are macro clips."""
        return ("macro-clips", "emotion-labels")

    def read(self) -> Reading:
        """One recording a folder of frames."""
        reading = Reading(self.name, self.fps, "cropped", most_frames=FRAMES)
        files = [path for path, is_folder in walk(self.root, DEPTH, self.unread, self.closed) if not is_folder]  # once: this passes 16,372 folders
        annotation = read_splits(self, reading, files)
        votes = read_votes(reading, annotation, files)
        folder, _ = find_folder(self, {"cropped": FOLDERS}, CLIP)
        there = {int(path.name): path for path, is_folder in walk(folder, 1, self.unread) if is_folder and re.fullmatch(CLIP, path.name)}
        for number in sorted(there):
            _add(reading, number, there[number], annotation, votes)
        for number in sorted(annotation.labels.keys() - there.keys()):
            reading.add(annotation.where[number], f"{number:05d}", f"{number:05d}", None, (0, 0, 0), emotion=_emotion(annotation, number), kind="macro")
        unlabelled = sum(annotation.labels.get(number, 0) == 0 for number in there)
        if unlabelled:
            reading.remarks.append(f"{unlabelled} of {len(there)} clips have no single label: they stand in no fold, and may be used without labels")
        reading.remarks.append("no apex is annotated: the middle frame stands for it in every clip; people are not identified: every clip is its own subject")
        return reading


def _emotion(annotation: Annotation, number: int) -> str:
    return EMOTIONS[annotation.labels.get(number, 0)]


def _add(reading: Reading, number: int, folder: Path, annotation: Annotation, votes: Mapping[int, str]) -> None:
    frames = frames_in(folder)
    numbers = frames.numbers or (0,)
    clip = f"{number:05d}"
    reading.add(
        annotation.where.get(number, f"folder {folder.name}"),
        clip,
        clip,
        frames,
        (numbers[0], numbers[(len(numbers) - 1) // 2], numbers[-1]),
        emotion=_emotion(annotation, number),
        raw_emotion=votes.get(number, ""),
        kind="macro",
        fold=annotation.folds.get(number, ""),
    )
