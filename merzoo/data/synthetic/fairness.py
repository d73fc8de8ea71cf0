"""Is the synthetic set fair? What cannot know the emotion must be at chance, what knows everything must be near the ceiling.

`python -m merzoo.data.synthetic.fairness [--part development] [--json]` prints it. Every score is a subject-grouped cross-validation in six groups of people,
with predictions pooled; the chance interval comes from the same classifier on shuffled labels. Settings of the generator are judged on "development" only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from merzoo.data.synthetic.dataset import GENERATOR_VERSION, SyntheticFaces

GROUPS = 6  # of subjects
PERMUTATIONS = 100  # 40 gave an interval too rough to judge by
FLOW_CELLS = 12  # a side, of the grid the flow is averaged on
PIXELS = 16  # a side, of the single-frame features

Classifier = Callable[[int], Any]


def _logistic(strength: float) -> Classifier:
    """Logistic regression on standardised features; `strength` is scikit-learn's C."""

    def make(seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300, random_state=seed))

    return make


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(40, min_samples_leaf=2, n_jobs=1, random_state=seed)


@dataclass(frozen=True)
class Question:
    """One classifier on one kind of knowledge. `expected` is "chance", "ceiling" or "between"."""

    name: str
    feature: str
    classifier: Classifier
    expected: str


QUESTIONS = (
    Question("onset frame alone, 16x16 pixels, logistic regression", "onset pixels", _logistic(0.01), "chance"),
    Question("apex frame alone, 16x16 pixels, logistic regression", "apex pixels", _logistic(0.01), "chance"),
    Question("clip length, random forest", "length", _forest, "chance"),
    Question("file metadata, random forest", "metadata", _forest, "chance"),
    Question("sharpness ratio apex/onset, logistic regression", "sharpness", _logistic(1.0), "chance"),
    Question("motion of head and light, random forest", "head", _forest, "chance"),
    Question("optical flow with permuted labels", "permuted flow", _logistic(0.01), "chance"),
    Question("optical flow onset to apex, 12x12, logistic regression", "flow", _logistic(0.01), "between"),
    Question("true action units apex - onset, logistic regression", "action units", _logistic(1.0), "ceiling"),
    Question("true action units apex - onset, random forest", "action units", _forest, "ceiling"),
)


def _sharpness(grey: np.ndarray) -> float:
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _flow(onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
    """Farneback flow minus its median (which is mostly the head), averaged on a grid, in px."""
    flow = cv2.calcOpticalFlowFarneback(onset, apex, np.zeros((*onset.shape, 2), np.float32), 0.5, 3, 15, 3, 5, 1.2, 0)
    flow = flow - np.median(flow, axis=(0, 1))
    return np.asarray(cv2.resize(flow, (FLOW_CELLS, FLOW_CELLS), interpolation=cv2.INTER_AREA).ravel())


def _head(data: SyntheticFaces, sample_id: str, start: int, peak: int) -> list[float]:
    play = data.truth(sample_id).performance
    a, b = start / play.script.timing.fps, peak / play.script.timing.fps
    first, second, lamp_a, lamp_b = play.pose(a), play.pose(b), play.lamp(a), play.lamp(b)
    moved = [getattr(second, name) - getattr(first, name) for name in ("dx", "dy", "roll", "scale", "yaw", "pitch")]
    return [*moved, lamp_b.gain - lamp_a.gain, lamp_b.shift - lamp_a.shift]


def features(part: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """What each question looks at, for all micro clips of a part: {feature: [clips, values]}, emotions, subjects."""
    data = SyntheticFaces(part)
    table = data.table().query("kind == 'micro'")
    out: dict[str, list[Any]] = {question.feature: [] for question in QUESTIONS}
    for row, clip in enumerate(table.to_dict("records")):
        sample_id, start, peak, stop = str(clip["sample_id"]), int(clip["start"]), int(clip["peak"]), int(clip["stop"])
        onset, apex = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in data.frames(sample_id, only=[start, peak]))
        out["onset pixels"].append(cv2.resize(onset, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).ravel())
        out["apex pixels"].append(cv2.resize(apex, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).ravel())
        out["length"].append([clip["frames"]])
        number, order = int(str(clip["subject"])[-4:]), int(str(clip["clip_id"])[1:])
        out["metadata"].append([clip["fps"], clip["frames"], start, peak, stop, peak - start, stop - peak, row, number, order])
        out["sharpness"].append([np.log(_sharpness(apex) / _sharpness(onset))])
        out["head"].append(_head(data, sample_id, start, peak))
        out["flow"].append(_flow(onset, apex))
        levels = data.truth(sample_id).intensities
        out["action units"].append((levels[peak] - levels[start]).ravel())
    out["permuted flow"] = out["flow"]
    return {name: np.array(values, np.float64) for name, values in out.items()}, table.emotion.to_numpy(), table.subject.to_numpy()


def _score(x: np.ndarray, y: np.ndarray, subjects: np.ndarray, classifier: Classifier, seed: int) -> tuple[float, float]:
    from sklearn.metrics import f1_score
    from sklearn.model_selection import GroupKFold

    predicted = np.empty_like(y)
    for train, test in GroupKFold(GROUPS).split(x, y, subjects):
        predicted[test] = classifier(seed).fit(x[train], y[train]).predict(x[test])
    return float(f1_score(y, predicted, average="macro", zero_division=0)), float((predicted == y).mean())


def fairness(part: str = "development", seed: int = 0, permutations: int = PERMUTATIONS) -> dict[str, Any]:
    """Scores of all questions on the micro clips of a part.

    Returns {part, version, manifest_hash, clips, subjects, rows: [{name, expected, macro_f1, accuracy, chance, at_chance}]};
    `chance` is the 95 % interval of macro F1 under shuffled labels.
    Raises `UnknownNameError` for an unknown part and `DataError` for one with fewer than six people.
    """
    from merzoo.errors import DataError

    x, y, subjects = features(part)
    people = len(set(subjects))
    if people < GROUPS:
        raise DataError(f"part '{part}' has {people} people in micro clips, fewer than the {GROUPS} groups; choose a larger part")
    rows = []
    for question in QUESTIONS:
        rng = np.random.default_rng(seed)
        values = x[question.feature]
        labels = np.random.default_rng(seed + 1).permutation(y) if question.feature == "permuted flow" else y
        macro_f1, accuracy = _score(values, labels, subjects, question.classifier, seed)
        shuffled = [_score(values, rng.permutation(y), subjects, question.classifier, seed)[0] for _ in range(permutations)]
        low, high = (float(v) for v in np.percentile(shuffled, (2.5, 97.5)))
        scores = {"macro_f1": macro_f1, "accuracy": accuracy, "chance": [low, high], "at_chance": macro_f1 <= high}
        rows.append({"name": question.name, "expected": question.expected, **scores})
    manifest = SyntheticFaces(part).manifest_hash
    return {"part": part, "version": GENERATOR_VERSION, "manifest_hash": manifest, "clips": len(y), "subjects": people, "rows": rows}


def main(arguments: list[str] | None = None) -> None:
    """Prints the table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(prog="merzoo.data.synthetic.fairness", description="Is the synthetic set fair?")
    parser.add_argument("--part", default="development")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    result = fairness(asked.part, asked.seed)
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{result['clips']} micro clips of {result['subjects']} people, part {result['part']}, generator {result['version']}")
    for row in result["rows"]:
        low, high = row["chance"]
        print(f"{row['name']:60s} UF1 {row['macro_f1']:.3f}  acc {row['accuracy']:.3f}  chance {low:.3f} to {high:.3f}  expected {row['expected']}")


if __name__ == "__main__":
    main()
