"""Clips to measure with: those of `synthetic:tiny`, the same for every model, cropped as the model wants them."""

from __future__ import annotations

import numpy as np

from merzoo.data.clips import Clips
from merzoo.data.sources import open_clips, open_dataset
from merzoo.recognizer import Recognizer
from merzoo.specs import Preprocessing
from merzoo.training.data import TrainingData

DATA = "synthetic:tiny"


def training_data(recognizer: Recognizer, copies: int) -> TrainingData:
    """What a strategy is handed: the micro-expressions, each several times, and the macro clips of others."""
    data = open_clips(DATA, recognizer.preprocessing)
    micro, macro = (Clips(data, kind) for kind in ("micro", "macro"))
    return TrainingData(Clips(data, "micro", np.tile(micro.positions, copies)), macro, data.labels, recognizer.train_views)


def few(preprocessing: Preprocessing, count: int) -> Clips:
    """The first micro-expressions, under a preprocessing."""
    clips = Clips(open_clips(DATA, preprocessing), "micro")
    return clips.where(np.arange(len(clips)) < count)


def labels() -> tuple[str, ...]:
    """The classes of the clips."""
    return tuple(open_dataset(DATA).labels)
