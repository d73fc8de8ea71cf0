"""The synthetic faces: what they promise about identity, time, motion, truth and fairness."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import combinations

import cv2
import numpy as np
import pytest

from merzoo.data.synthetic import ACTION_UNITS, CLASSES, GENERATOR_VERSION, SyntheticFaces, fairness
from merzoo.data.synthetic.action_units import inverse
from merzoo.data.synthetic.parts import PARTS
from merzoo.data.synthetic.recipes import INDEX
from merzoo.data.synthetic.render import camera, face
from merzoo.data.synthetic.script import COMBOS, MICRO, PRIOR
from merzoo.errors import DataError, MerzooError, UnknownNameError

COLUMNS = ["sample_id", "dataset", "subject", "clip_id", "kind", "start", "peak", "stop", "fps", "frames", "emotion", "aus", "corrections"]
MICRO_CLIP, MACRO_CLIP = "synthetic:s5001/c02", "synthetic:s5100/c00"


@pytest.fixture(scope="module")
def tiny() -> SyntheticFaces:
    return SyntheticFaces("tiny")


def test_version_is_one_and_units_and_classes_are_named() -> None:
    assert GENERATOR_VERSION == "1"
    assert CLASSES == ("happiness", "surprise", "disgust", "repression", "others")
    assert len(ACTION_UNITS) == 17


@pytest.mark.parametrize("part", PARTS)
def test_table_is_whole(part: str) -> None:
    data = SyntheticFaces(part)
    table = data.table()
    assert list(table.columns) == COLUMNS
    assert table.sample_id.is_unique
    assert set(table.emotion) == set(CLASSES) == set(data.labels)
    assert (table.kind.ne(table.kind.shift()).sum()) == 2, "micro first, then macro"
    assert ((table.start >= 0) & (table.start < table.peak) & (table.peak < table.stop) & (table.stop < table.frames)).all()
    micro = table[table.kind == "micro"]
    assert micro.frames.between(30, 75).all()
    assert (micro.fps == 100).all()
    assert micro.start.nunique() > 2
    assert not set(micro.subject) & set(table[table.kind == "macro"].subject)
    p = PARTS[part]
    assert len(table) == len(p.micro) * p.micro_clips + len(p.macro) * p.macro_clips


def test_no_person_occurs_twice() -> None:
    groups = [set(numbers) for part in PARTS.values() for numbers in (part.micro, part.macro)]
    assert all(not a & b for a, b in combinations(groups, 2))
    ids = [i for part in PARTS for i in SyntheticFaces(part).table().sample_id]
    assert len(ids) == len(set(ids))


def test_recipes_of_emotions_are_distributions() -> None:
    assert sum(PRIOR) == pytest.approx(1)
    for combos in COMBOS.values():
        assert sum(chance for chance, _ in combos) == pytest.approx(1, abs=0.011)
        assert all(set(combo) <= set(ACTION_UNITS) for _, combo in combos)


def test_a_frame_is_the_same_alone_in_sequence_and_in_any_order(tiny: SyntheticFaces) -> None:
    whole = tiny.frames(MICRO_CLIP)
    again = SyntheticFaces("tiny")
    assert np.array_equal(again.frames(MICRO_CLIP, only=[20, 3]), whole[[20, 3]])
    assert whole.dtype == np.uint8
    assert whole.shape[1:] == (128, 128, 3)
    assert len(whole) == int(tiny.table().set_index("sample_id").frames[MICRO_CLIP])


def test_another_process_with_other_threads_makes_the_same_pixels(tiny: SyntheticFaces) -> None:
    code = (
        "import cv2, hashlib; cv2.setNumThreads(3)\nfrom merzoo.data.synthetic import SyntheticFaces\n"
        f"f = SyntheticFaces('tiny').frames({MACRO_CLIP!r}, only=[5, 2])\nprint(hashlib.sha256(f.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(tiny.frames(MACRO_CLIP, only=[5, 2]).tobytes()).hexdigest()


def test_threads_of_opencv_are_left_alone(tiny: SyntheticFaces) -> None:
    before = cv2.getNumThreads()
    tiny.frames(MICRO_CLIP, only=[0])
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize("size", [64, 128, 224, 256])
def test_sizes_show_the_same_scene(tiny: SyntheticFaces, size: int) -> None:
    picture, full = (tiny.ablated(MICRO_CLIP, noise=False, size=s, only=[7])[0] for s in (size, 256))
    assert picture.shape == (size, size, 3)
    thumbs = [cv2.resize(p, (16, 16), interpolation=cv2.INTER_AREA).astype(float) for p in (picture, full)]
    assert np.abs(thumbs[0] - thumbs[1]).mean() < 1.0


def test_errors_are_one_line_with_near_names(tiny: SyntheticFaces) -> None:
    with pytest.raises(UnknownNameError, match="benchmark") as caught:
        SyntheticFaces("bencmark")
    assert isinstance(caught.value, MerzooError)
    assert "benchmark" in caught.value.near
    with pytest.raises(UnknownNameError, match="synthetic:s5001/c02"):
        tiny.frames("synthetic:s5001/c2")
    with pytest.raises(UnknownNameError):
        tiny.truth("synthetic:s2000/c00")
    for bad in (8, 300, 128.0):
        with pytest.raises(DataError, match="16 to 256"):
            tiny.frames(MICRO_CLIP, size=bad)  # type: ignore[arg-type]
    for bad in (-1, 999):
        with pytest.raises(DataError, match="frames 0 to"):
            tiny.frames(MICRO_CLIP, only=[bad])
    with pytest.raises(DataError, match="count from 0"):
        tiny.truth(MICRO_CLIP).displacement(0, 999)


# action unit: the place it moves, in units from the mid-line and from the top
WHERE = {1: (10, 40), 2: (24, 40), 4: (12, 41), 10: (7, 89), 12: (15, 92), 15: (14, 94), 17: (0, 103), 20: (15, 93)}


def _moved(number: int, unit: int, peak: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True forward displacement, and the pictures before and after."""
    who, levels = face(number), np.zeros((2, len(ACTION_UNITS)), np.float32)
    before = camera(who.render(levels), 128, None)
    levels[:, INDEX[unit]] = peak
    return who.muscles.displacement(levels), before, camera(who.render(levels), 128, None)


@pytest.mark.parametrize("unit", WHERE)
def test_an_action_unit_moves_its_place_by_its_intensity(unit: int) -> None:
    field, before, after = _moved(5000, unit, 2.0)
    length = np.hypot(field[..., 0], field[..., 1])
    assert length.max() == pytest.approx(2.0, rel=0.06)
    row, column = np.unravel_index(length.argmax(), length.shape)
    x, y = abs(2 * column + 1 - 72), 2 * row + 1 - 8
    assert np.hypot(x - WHERE[unit][0], y - WHERE[unit][1]) < 7
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after)]
    flow = cv2.calcOpticalFlowFarneback(*grey, np.zeros((128, 128, 2), np.float32), 0.5, 3, 15, 5, 7, 1.5, 0)
    seen = np.hypot(flow[..., 0], flow[..., 1])
    fy, fx = np.unravel_index(seen.argmax(), seen.shape)
    assert 1.2 < seen.max() < 3.2
    assert np.hypot(abs(fx - 64) - x, fy - y) < 12, "the motion is seen elsewhere than it was put"


@pytest.mark.parametrize("peak", [0.5, 2.0, 6.0])
def test_a_point_of_skin_lands_where_the_field_says(peak: float) -> None:
    field, _, _ = _moved(5000, 12, peak)
    back = inverse(field)
    at = np.arange(field.shape[0], dtype=np.float32)
    columns, rows = np.meshgrid(at, at)
    there = cv2.remap(field, columns - back[..., 0] / 2, rows - back[..., 1] / 2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(there - back).max() < 0.02 * peak


def test_lids_and_lips_react() -> None:
    who = face(5000)
    rest = np.zeros((2, len(ACTION_UNITS)), np.float32)
    before = camera(who.render(rest), 128, None).astype(int)
    for unit, rows in ((5, slice(40, 54)), (7, slice(44, 60)), (25, slice(86, 114)), (26, slice(86, 120))):
        levels = rest.copy()
        levels[:, INDEX[unit]] = 2
        change = np.abs(camera(who.render(levels), 128, None).astype(int) - before).sum(axis=(1, 2))
        assert change[rows].sum() > 0.8 * change.sum() > 0, f"AU {unit}"


def test_one_sided_intensities_move_one_side() -> None:
    who, levels = face(5000), np.zeros((2, len(ACTION_UNITS)), np.float32)
    levels[1, INDEX[12]] = 2
    length = np.hypot(*np.moveaxis(who.muscles.displacement(levels), -1, 0))
    assert length[:, 36:].max() > 1.8
    assert length[:, :30].max() < 0.3


@pytest.mark.parametrize(("kind", "low", "high"), [("micro", 0.3, 3.0), ("macro", 2.0, 8.0)])
def test_peak_amplitude_of_clips(tiny: SyntheticFaces, kind: str, low: float, high: float) -> None:
    table = tiny.table().query(f"kind == '{kind}'")
    peaks = []
    for sample_id in table.sample_id:
        truth = tiny.truth(sample_id)
        peaks.append(truth.performance.face.muscles.peak(truth.intensities[truth.true_peak]))
    assert low < min(peaks)
    assert max(peaks) <= high * 1.01
    assert max(peaks) / min(peaks) > 1.1


def test_truth_agrees_with_table_and_envelope(tiny: SyntheticFaces) -> None:
    for clip in tiny.table().to_dict("records"):
        truth = tiny.truth(clip["sample_id"])
        assert truth.intensities.shape == (clip["frames"], 2, 17)
        assert truth.intensities.dtype == np.float32
        shown = {ACTION_UNITS[i] for i in np.flatnonzero(truth.intensities.max(axis=(0, 1)))}
        assert shown == {int(a) for a in clip["aus"].split("+")}
        assert np.abs(truth.intensities[0]).max() == 0
        assert abs(truth.true_start - clip["start"]) <= MICRO.onset_jitter
        total = truth.intensities.sum(axis=(1, 2))
        assert total[truth.true_peak] > 0.85 * total.max()
        assert total[-1] < 0.5 * total.max()


def test_displacement_points_from_one_frame_to_the_other(tiny: SyntheticFaces) -> None:
    truth = tiny.truth(MICRO_CLIP)
    forth = truth.displacement(truth.true_start, truth.true_peak)
    assert forth.shape == (128, 128, 2)
    assert np.abs(truth.displacement(4, 4)).max() < 5e-3
    levels = (truth.intensities + truth.tonic + truth.habit)[[truth.true_start, truth.true_peak]]
    expected = truth.performance.face.muscles.displacement(levels[1] - levels[0])
    assert np.hypot(forth[..., 0], forth[..., 1]).max() == pytest.approx(np.hypot(expected[..., 0], expected[..., 1]).max(), rel=0.1)
    large = truth.displacement(truth.true_start, truth.true_peak, 256)
    halved = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA) / 2
    assert np.abs(halved - forth).max() < 0.05


def test_displacement_explains_the_change_of_the_picture(tiny: SyntheticFaces) -> None:
    """Pulling the macro peak frame back along the truth must undo most of its difference to the start."""
    truth = tiny.truth(MACRO_CLIP)
    a, b = truth.true_start, truth.true_peak
    first, second = tiny.ablated(MACRO_CLIP, head=False, noise=False, only=[a, b]).astype(np.float32)
    columns, rows = np.meshgrid(np.arange(128, dtype=np.float32), np.arange(128, dtype=np.float32))
    move = truth.displacement(a, b)
    undone = cv2.remap(second, columns + move[..., 0], rows + move[..., 1], cv2.INTER_CUBIC)
    strong = np.hypot(move[..., 0], move[..., 1]) > 1.5
    assert strong.sum() > 50
    assert np.abs(undone - first)[strong].mean() < 0.6 * np.abs(second - first)[strong].mean()


def test_ablations_take_away_one_cause_each(tiny: SyntheticFaces) -> None:
    truth = tiny.truth(MICRO_CLIP)
    pair = [0, truth.true_peak]

    def change(**switches: bool) -> float:
        first, second = tiny.ablated(MICRO_CLIP, only=pair, **switches).astype(float)
        return float(np.abs(second - first).mean())

    assert change(motion=False, head=False, noise=False) == 0
    alone = {name: change(**{"motion": False, "head": False, "noise": False, name: True}) for name in ("motion", "head", "noise")}
    assert all(value > 0 for value in alone.values())
    assert change() > max(alone.values())
    assert np.array_equal(tiny.ablated(MICRO_CLIP, only=pair), tiny.frames(MICRO_CLIP, only=pair))


def test_label_is_independent_of_person_and_time() -> None:
    """On the table: means of every number are the same in all classes, up to chance (checked on the development part)."""
    table = SyntheticFaces("development").table().query("kind == 'micro'").reset_index(drop=True)
    values = table.assign(rise=table.peak - table.start, row=table.index, person=table.subject.str[-4:].astype(int), order=table.clip_id.str[1:].astype(int))
    rng = np.random.default_rng(0)
    for column in ("frames", "start", "peak", "stop", "rise", "row", "person", "order"):
        x = values[column].to_numpy(float)

        def spread(labels: np.ndarray, x: np.ndarray = x) -> float:
            return float(sum((labels == c).sum() * (x[labels == c].mean() - x.mean()) ** 2 for c in CLASSES))

        emotions = values.emotion.to_numpy()
        shuffled = [spread(rng.permutation(emotions)) for _ in range(400)]
        assert spread(emotions) <= np.quantile(shuffled, 0.995), column


def test_fairness_needs_enough_people() -> None:
    with pytest.raises(DataError, match="fewer than the 6 groups"):
        fairness.fairness("tiny")


@pytest.mark.slow
def test_chance_holds_where_nothing_can_be_known_and_the_truth_can() -> None:
    result = fairness.fairness("demo", permutations=3)
    assert len(result["rows"]) == len(fairness.QUESTIONS)
    for row in result["rows"]:
        if row["expected"] == "chance":
            assert row["macro_f1"] < 0.36, row  # 64 clips: chance is .2 with a standard error of .05
        else:
            assert row["macro_f1"] > row["chance"][1], row


# Frozen with version 1: whoever changes table or pixels on purpose raises GENERATOR_VERSION, GENERATOR_SEED and these.
MANIFESTS = {
    "weights": "0fb65860f9d2acd4862c7a30a60207bb034b9848e61cdb35552519781d2a96d5",
    "development": "f9fcb1fdea2e5782f99529180ddf7627a16115c0de1135a646752a358fae7f67",
    "benchmark": "27f27bca3d793e883c7e70adbe74e6014c1b81ca6ce874121a9627d0462980ef",
    "demo": "b475b7ef32b62e7d9ec180b67b7c18c6a8c813fdc19fe52b58f34660c3ce1f9f",
    "tiny": "51f38ddc79c590312a7341b5b7c7d63c21dbb5d0f73bc9b4137dd7a929a8cfb7",
}
# (part, clip, frame): mean brightness on an 8x8 grid
THUMBNAILS = {
    ("tiny", "synthetic:s5001/c02", 30): (
        (61, 49, 30, 37, 31, 26, 50, 63),
        (58, 38, 84, 138, 115, 78, 34, 62),
        (60, 55, 113, 123, 123, 109, 58, 62),
        (63, 78, 113, 123, 119, 107, 81, 61),
        (65, 69, 117, 112, 108, 112, 67, 61),
        (64, 63, 88, 102, 93, 79, 49, 61),
        (60, 65, 64, 82, 72, 52, 57, 62),
        (60, 63, 83, 86, 74, 78, 62, 62),
    ),
    ("tiny", "synthetic:s5100/c00", 6): (
        (137, 129, 154, 209, 162, 157, 149, 133),
        (125, 105, 107, 119, 116, 118, 90, 137),
        (108, 96, 94, 103, 106, 107, 88, 123),
        (121, 92, 89, 92, 98, 97, 99, 123),
        (137, 74, 88, 77, 76, 100, 90, 129),
        (134, 90, 66, 75, 82, 80, 114, 137),
        (139, 128, 58, 64, 73, 77, 139, 139),
        (104, 102, 80, 59, 67, 94, 100, 103),
    ),
    ("development", "synthetic:s2001/c05", 25): (
        (148, 100, 78, 78, 92, 77, 87, 153),
        (151, 65, 175, 201, 189, 151, 64, 157),
        (148, 81, 168, 190, 173, 131, 64, 145),
        (149, 91, 164, 181, 156, 141, 71, 141),
        (158, 75, 196, 188, 141, 147, 51, 146),
        (161, 57, 146, 170, 145, 101, 46, 150),
        (171, 69, 94, 172, 140, 74, 58, 154),
        (185, 89, 138, 173, 154, 143, 63, 175),
    ),
    ("development", "synthetic:s2103/c01", 11): (
        (151, 67, 35, 59, 87, 53, 38, 148),
        (153, 54, 119, 140, 148, 146, 61, 125),
        (153, 71, 104, 116, 130, 120, 95, 117),
        (149, 77, 118, 124, 137, 123, 112, 124),
        (141, 84, 106, 99, 113, 122, 120, 140),
        (131, 89, 54, 73, 82, 81, 114, 140),
        (132, 113, 35, 51, 67, 51, 134, 143),
        (147, 138, 88, 52, 55, 117, 146, 146),
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_tables_are_frozen(part: str) -> None:
    assert SyntheticFaces(part).manifest_hash == MANIFESTS[part]


@pytest.mark.parametrize("key", THUMBNAILS, ids=lambda key: "/".join(str(k) for k in key))
def test_pixels_are_frozen(key: tuple[str, str, int]) -> None:
    """Up to a grey level, since builds of OpenCV differ in the last bit."""
    part, clip, frame = key
    grey = SyntheticFaces(part).frames(clip, only=[frame])[0].astype(np.float64).mean(axis=-1)
    assert np.abs(grey.reshape(8, 16, 8, 16).mean(axis=(1, 3)) - np.array(THUMBNAILS[key])).mean() <= 1.0
