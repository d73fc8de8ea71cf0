"""The whole story of one's own data: a table of clips, checked, scored, trained on, and what was trained asked about a new clip."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import merzoo
from merzoo.cli import main
from merzoo.data.readers.own import Own
from merzoo.data.sources import open_dataset
from merzoo.data.synthetic import SyntheticFaces
from merzoo.errors import LeakageError
from merzoo.registry import registry
from merzoo.specs import Preprocessing
from merzoo.training.train import WEIGHTS, train

REMAP = {"disgust": "negative", "repression": "negative", "happiness": "positive", "surprise": "surprise", "others": "surprise"}
DOCS = Path(__file__).resolve().parents[1] / "docs"
NEW = "s5003/c03"  # a clip kept out of the table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips.csv (crops in folders, the clips of one person in videos with some background) and labels.csv."""
    folder = tmp_path_factory.mktemp("own")
    faces = SyntheticFaces("tiny")
    rows = []
    for clip in faces.table().query("kind == 'micro'").to_dict("records"):
        name = clip["sample_id"].partition(":")[2]
        person = name.partition("/")[0]
        frames = faces.crops(clip["sample_id"], Preprocessing(size=128))
        row = {"subject": person, "label": clip["emotion"], "onset": clip["start"], "apex": clip["peak"], "offset": clip["stop"], "aus": clip["aus"]}
        if name == NEW:
            pictures(folder / "new" / "c03", frames, 0)
        elif person == "s5002":
            rows.append({"path": video(folder / f"{name}.avi", frames), **row})
        else:
            pictures(folder / name, frames, 1)
            rows.append({"path": name, **row, **{key: row[key] + 1 for key in ("onset", "apex", "offset")}, "release": "cropped"})
    for name, cells in {"clips.csv": rows, "labels.csv": [{"from": a, "to": b} for a, b in REMAP.items()]}.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in cells for key in row)))
            writer.writeheader()
            writer.writerows(cells)
    return folder


def pictures(folder: Path, frames: np.ndarray, first: int) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, first):
        (folder / f"img{number}.jpg").write_bytes(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())


def video(path: Path, frames: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (240, 200))
    for frame in frames:
        picture = np.full((200, 240, 3), 128, np.uint8)
        picture[36:164, 56:184] = frame[..., ::-1]
        writer.write(picture)
    writer.release()
    return f"{path.parent.name}/{path.name}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go into a folder of their own."""
    monkeypatch.chdir(tmp_path)


def test_the_table_is_opened_by_its_path(place: Path) -> None:
    data = open_dataset(str(place / "clips.csv"), remap=place / "labels.csv")
    table = data.table()
    assert (data.name, data.labels, len(table), table["subject"].nunique()) == ("csv", ("negative", "positive", "surprise"), 15, 4)
    assert "au-labels" in data.provides
    assert open_dataset(f"{place / 'clips.csv'}:aus").task == "multi-label"


def test_a_face_in_a_video_is_found_and_aligned_as_in_the_crops(place: Path) -> None:
    source = open_dataset(str(place / "clips.csv")).sources[0]
    for sample, frames in source.lengths().items():
        if "/s5002/" in sample:
            crops = source.crops(sample, Preprocessing(size=64))
            assert crops.shape == (frames, 64, 64, 3)
            assert np.abs(crops[0].astype(int) - 128).mean() > 15  # a face, and not the grey around it


def test_an_edited_frame_of_the_same_size_is_decoded_anew_and_a_copy_elsewhere_is_the_same_data(place: Path, tmp_path: Path) -> None:
    here, copied = tmp_path / "here", tmp_path / "copied"
    for target in (here, copied):
        shutil.copytree(place, target, copy_function=shutil.copyfile)  # as by a tool that does not keep the times of files
    data, copy = (open_dataset(str(folder / "clips.csv")) for folder in (here, copied))
    assert copy.manifest_hash == data.manifest_hash
    before = data.sources[0].source_hash
    assert open_dataset(str(here / "clips.csv")).sources[0].source_hash == before
    assert isinstance(data, Own)
    clips = data.reading.recordings.values()
    frames, film = (next(clip for clip in clips if clip.video is video) for video in (False, True))
    for picture in (frames.folder / frames.names[1], film.folder):
        content = picture.read_bytes()
        at = len(content) // 2
        picture.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        after = open_dataset(str(here / "clips.csv")).sources[0].source_hash
        assert after != before
        before = after


def test_a_macro_clip_without_a_label_is_not_one_that_shows_none(place: Path) -> None:
    rows = pd.read_csv(place / "clips.csv", dtype=str, keep_default_na=False)
    rows.loc[0, "label"] = "happiness+surprise"
    rows.loc[1, ["kind", "label"]] = ["macro", ""]
    (place / "several.csv").write_text(rows.fillna("").to_csv(index=False))
    data = open_dataset(str(place / "several.csv"))
    assert data.task == "multi-label"
    macro = data.table().query("kind == 'macro'")
    assert len(macro) == 1 and macro["emotion"].isna().all() and not data.table().query("kind == 'micro'")["emotion"].isna().any()


def evaluated(place: Path, **options: object) -> dict[str, object]:
    data = open_dataset(str(place / "clips.csv"), remap=place / "labels.csv")
    return merzoo.evaluate("flow-svm", data, "loso", out="scores", preset="small", **options)  # type: ignore[arg-type]


def test_scores_leave_one_person_out(place: Path) -> None:
    result = evaluated(place)
    assert result["complete"] and result["folds"] == {"done": 4, "expected": 4}
    folds = [json.loads(path.read_text()) for path in Path("scores/folds").rglob("*.json")]
    tested = sorted(row["sample_id"] for fold in folds for row in fold["predictions"])
    assert tested == sorted(open_dataset(str(place / "clips.csv")).table()["sample_id"])
    assert all(len({row["subject"] for row in fold["predictions"]}) == 1 for fold in folds)
    everything = "".join(path.read_text() for path in Path("scores").rglob("*.json"))
    assert str(place) not in everything and place.name not in everything  # where the clips lie is nobody's business


@pytest.fixture(scope="module")
def trained(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights fine-tuned on the table, with a budget of seconds."""
    pytest.importorskip("merzoo_ma2mi", reason="the plugin merzoo-ma2mi is not installed")
    spec = registry().model("miacnet-ma2mi")
    small = spec.presets["small"]
    brief = replace(small, strategy={**small.strategy, "fine_tuning": {**small.strategy["fine_tuning"], "epochs": 3}})
    out = tmp_path_factory.mktemp("runs") / "mine"
    data = open_dataset(str(place / "clips.csv"), remap=place / "labels.csv")
    train(replace(spec, presets={**spec.presets, "small": brief}), data, out=out, preset="small", weights="synthetic", device="cpu", threads=1)
    yield out / WEIGHTS


@pytest.mark.slow
def test_fine_tuning_begins_from_the_weights_and_ends_in_weights_that_load(place: Path, trained: Path) -> None:
    begun, made = merzoo.load("miacnet-ma2mi"), merzoo.load("miacnet-ma2mi", weights=trained)
    assert made.labels == ("negative", "positive", "surprise")
    card = made.weights.trained_on
    assert card["data"] == "csv" and {s for s in card["subjects"] if s.startswith("csv:")} == {f"csv:s500{n}" for n in range(4)}
    assert any(s.startswith("synthetic:") for s in card["subjects"])  # whom the first weights knew, these know too
    first, last = begun.backbone.state_dict(), made.backbone.state_dict()
    apart = [float((first[key] - last[key]).norm() / (1e-9 + first[key].norm())) for key in first if first[key].dtype.is_floating_point]
    assert 0 < np.median(apart) < 0.5  # moved, and not made anew
    stages = {json.loads(line)["stage"] for line in (trained.parent / "log.jsonl").read_text().splitlines()}
    assert stages == {"fine-tune"}  # no pretext: there are no macro clips, and the weights have been through it


@pytest.mark.slow
def test_what_was_trained_predicts_a_new_clip_and_a_folder_of_them(place: Path, trained: Path) -> None:
    one = merzoo.predict(place / "new" / "c03", "miacnet-ma2mi", weights=trained, face="none", device="cpu")
    assert set(one.events[0].probabilities) == {"negative", "positive", "surprise"}
    assert sum(one.events[0].probabilities.values()) == pytest.approx(1, abs=1e-4)
    table = merzoo.predict_all(place / "new", "miacnet-ma2mi", weights=trained, face="none", device="cpu", out="answers")
    assert table["source"].unique().tolist() == ["c03"] and (table["error"] == "").all()
    written = pd.read_csv("answers/predictions.csv", dtype={"source": str})
    assert {"p_negative", "p_positive", "p_surprise"} <= set(written.columns) and len(written) == len(table)


@pytest.mark.slow
def test_weights_that_know_somebody_do_not_begin_his_test(place: Path, trained: Path) -> None:
    data = open_dataset(str(place / "clips.csv"), remap=place / "labels.csv")
    with pytest.raises(LeakageError, match="csv:s5000"):
        merzoo.evaluate("miacnet-ma2mi", data, "loso", out="leaky", preset="small", weights=str(trained), device="cpu")


def test_the_commands_of_the_documentation_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in (DOCS / "own-data.md").read_text().splitlines() if line.startswith("    merzoo ")]
    assert {line[1] for line in lines} == {"data", "evaluate", "compare", "train", "predict"}
    for line in lines:  # an option that is not there is refused before the help is printed
        assert main([*line[1:], "--remap", "labels.csv", "--help"] if "--data" in line else [*line[1:], "--help"]) == 0, capsys.readouterr().err


def test_the_example_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text((DOCS / "example-clips.csv").read_text())
    blank = np.zeros((500, 128, 128, 3), np.uint8)
    for path in {row["path"] for row in csv.DictReader(table.open())}:
        if path.endswith((".avi", ".mp4")):
            (tmp_path / video(tmp_path / f"{path}.avi", blank)).rename(tmp_path / path)
        else:
            pictures(tmp_path / path, blank[:50], 1)
    data = open_dataset(str(table))
    assert isinstance(data, Own)
    assert len(data.table()) == 8 and not data.reading.dropped and not data.left_out() and not data.reading.missing
    assert data.provides == ("emotion-labels", "au-labels", "macro-clips")


@pytest.mark.slow
def test_the_command_line_says_the_same(place: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MERZOO_PLUGINS": "merzoo-baselines"}
        return subprocess.run([sys.executable, "-m", "merzoo", *words], capture_output=True, text=True, check=False, env=environment, timeout=300)

    table, remap = str(place / "clips.csv"), ("--remap", str(place / "labels.csv"))
    checked = run("data", "verify", "csv", "--root", table, *remap, "--json")
    assert checked.returncode == 0, checked.stderr
    counts = {row["label"]: row["samples"] for row in json.loads(checked.stdout)["counts"] if row["part"] == ""}
    assert counts[""] == 15 and sum(counts.values()) == 30
    Path("few.csv").write_text("from,to\nsurprise,surprise\nothers,negative\n")
    checked = run("data", "verify", "csv", "--root", table, "--remap", "few.csv")
    assert "left out by this part" in checked.stdout and "is not in the table few.csv" in checked.stdout, checked.stderr
    assert "no totals are published" in checked.stdout
    done = run("evaluate", "flow-svm", "--data", table, *remap, "--preset", "small", "--protocol", "loso", "--out", "by-hand", "--jobs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"] == evaluated(place)["scores"]
    assert Path("by-hand/result.json").is_file()
    wrong = run("evaluate", "flow-svm", "--data", "nowhere.csv", "--out", "x")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1 and "is not there" in wrong.stderr
