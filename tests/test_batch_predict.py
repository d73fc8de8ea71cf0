"""Many recordings: which are found, what the table says of them, what a bad one does to the others, and what a second call keeps."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import merzoo
from merzoo import weights as weight_files
from merzoo.batch import predict_each, recordings
from merzoo.cli import main
from merzoo.entries import Register
from merzoo.errors import MediaError, MerzooWarning, RunError, UsageError
from merzoo.prediction import recognizer_of
from merzoo.recognizer import build
from merzoo.specs import ModelSpec, Preprocessing, Preset, WeightsSpec
from merzoo.tables import Table, cell, columns, finished, rows

LABELS = ("calm", "happy", "sad")
DATA = {"data": "synthetic test faces"}
NETWORK = ("timm/test_resnet", {"view": "difference", "size": 64})
PRESETS = {"small": Preset({"view": "difference", "size": 64}, preprocessing=Preprocessing(size=72))}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The model `tiny` in the registry of this process; gives the file of its weights."""
    from merzoo.plugins import load_registry

    path = tmp_path / "tiny.safetensors"
    register, zoo = Register("testers"), load_registry()
    first = WeightsSpec("first", "small", str(path), weigh(path, 0), LABELS, DATA)
    register.model(ModelSpec("tiny", "for tests", NETWORK[0], presets=PRESETS, weights=(first,)))
    zoo.add(register)
    monkeypatch.setattr("merzoo.registry._registry", zoo)
    return path


def weigh(path, seed):
    torch.manual_seed(seed)
    card = {"model": "tiny", "preset": "small", "labels": LABELS, "trained_on": DATA}
    return weight_files.write(path, build(NETWORK, labels=LABELS).saved(), card)


def frames(folder, count=8, seed=0):
    """Frames of a textured square whose lower part rises and comes back."""
    folder.mkdir(parents=True)
    texture = np.kron(np.random.default_rng(seed).integers(60, 200, (20, 20, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    for t, shift in enumerate(np.rint(5 * np.sin(np.linspace(0, np.pi, count))).astype(int)):
        frame = texture.copy()
        frame[50:76] = np.roll(texture, -shift, axis=0)[50:76]
        (folder / f"{t}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())  # not imwrite: it cannot take every name
    return folder


@pytest.fixture
def clips(tmp_path):
    """Two good recordings, one of them deeper, and a broken video between them."""
    root = tmp_path / "clips"
    frames(root / "clip10")
    frames(root / "more" / "clip2", seed=1)
    (root / "clip9.mp4").write_bytes(b"this is no video\n" * 9)
    return root


def table(out):
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(capsys, *arguments):
    code = main(["predict", *map(str, arguments), "--model", "tiny", "--face", "none"])
    return code, capsys.readouterr()


def test_a_folder_of_recordings(model, clips, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed = run(capsys, clips, "--out", out, "--fps", 20)
    assert code == 2
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["merzoo", "merzoo"]
    assert "clip9.mp4" in printed.err.splitlines()[0] and "1 of 3 recordings failed" in printed.err.splitlines()[1]
    assert "2 of 3 recordings predicted" in printed.out and str(out / "predictions.csv") in printed.out
    found = table(out)
    assert list(found[0]) == list(columns(LABELS))
    assert [row["source"] for row in found] == ["clip9.mp4", "clip10", "more/clip2"]
    assert "text, not a video" in found[0]["error"] and found[0]["emotion"] == ""
    for row in found[1:]:
        written = json.loads((out / row["source"] / "prediction.json").read_text())
        event = written["events"][0]
        assert (out / row["source"] / "prediction.png").is_file() and row["error"] == ""
        assert [int(row[name]) for name in ("face", "rank", "onset", "apex", "offset")] == [1, 1, event["onset"], event["apex"], event["offset"]]
        assert [float(row[f"p_{label}"]) for label in LABELS] == [event["probabilities"][label] for label in LABELS]
        assert (float(row["seconds"]), row["emotion"], row["model"], row["weights"]) == (event["apex"] / 20, event["emotion"], "tiny", "first")
    assert not (out / "clip9.mp4").exists()


def test_json_is_a_list_with_the_failures(model, clips, capsys):
    code, printed = run(capsys, clips, "--json")
    bad, good, deeper = json.loads(printed.out)
    assert code == 2 and set(bad) == {"source", "error"} and bad["source"] == str(clips / "clip9.mp4")
    assert (good["source"], deeper["source"]) == (str(clips / "clip10"), str(clips / "more" / "clip2")) and good["events"]


def test_all_good_is_exit_code_0(model, clips, capsys):
    (clips / "clip9.mp4").unlink()
    code, printed = run(capsys, clips)
    assert (code, printed.err) == (0, "") and re.search(r"2 of 2 recordings predicted; 16 frames at [0-9,]+ a second", printed.out)
    assert printed.out.splitlines()[-1] == "Trained on synthetic faces: a demonstration, not a diagnosis."


def test_the_same_answers_as_one_by_one(model, clips):
    found = merzoo.predict_all(clips, "tiny", face="none")
    alone = merzoo.predict(clips / "clip10", "tiny", face="none")
    row = found[found["source"] == "clip10"].iloc[0]
    assert [row[f"p_{label}"] for label in LABELS] == [alone.events[0].probabilities[label] for label in LABELS]
    assert list(found.columns) == list(columns(LABELS)) and found["error"].astype(bool).tolist() == [True, False, False]


def test_a_list_of_paths(model, clips):
    found = merzoo.predict_all([clips / "more" / "clip2", clips / "clip10"], "tiny", face="none")
    assert found["source"].tolist() == ["more/clip2", "clip10"]
    assert merzoo.predict_all(clips / "clip10", "tiny", face="none")["source"].tolist() == ["clip10"]


def test_a_folder_of_frames_is_one_recording_and_says_what_it_leaves_out(model, clips, capsys):
    frames(clips / "clip10" / "masks")
    code, printed = run(capsys, clips / "clip10", "--json")
    assert code == 0 and isinstance(json.loads(printed.out), dict)
    assert len(printed.err.splitlines()) == 1 and "1 more in it" in printed.err
    with pytest.warns(MerzooWarning, match="1 more in it"):
        assert recordings(clips / "clip10") == [clips / "clip10"]


def test_recordings_come_in_natural_order_without_hidden_ones_and_results(tmp_path):
    for name in ("b10.MP4", "b9.avi", "a/x2.mov", "a/x10.mov", ".b.mp4", ".hidden/c.mp4", "out/a/prediction.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in recordings(tmp_path, tmp_path / "out")] == ["a/x2.mov", "a/x10.mov", "b9.avi", "b10.MP4"]


def test_files_that_are_passed_over_are_counted_once(model, clips, capsys, monkeypatch):
    (clips / "clip9.mp4").unlink()
    for name in ("notes.txt", "more/clip3.xyz", ".hidden"):
        (clips / name).write_text("not a recording")
    # As after a library has touched the filters: Python then forgets what it has shown.
    monkeypatch.setattr(sys, "warnoptions", ["always"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, printed = run(capsys, clips)
    (line,) = printed.err.splitlines()
    assert code == 0 and "passed over: 2" in line and "clip3.xyz" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda d: [d / "clips", "--interval", "1,2,3"], "one recording"),
        (lambda d: [d / "clips", "--resume"], "give --out"),
        (lambda d: [d / "clips" / "clip10", "--resume"], "nothing to resume"),
        (lambda d: [d / "clips", "--out", d / "clips"], "another --out"),
        (lambda d: [d / "clips", "--out", d / "clips" / "clip9.mp4"], "no folder"),
        (lambda d: [d / "clips", "--weights", "nowhere"], "first"),
        (lambda d: [d / "clips", "--fps", "-1", "--weights", "nowhere"], "fps is -1; give"),
        (lambda d: [d / "clips", "--fps", "nan"], "fps is nan; give"),
    ],
)
def test_what_stops_the_batch_before_it_begins(model, clips, tmp_path, capsys, arguments, words):
    code, printed = run(capsys, *arguments(tmp_path))
    assert (code, printed.out, len(printed.err.splitlines())) == (2, "", 1) and words in printed.err


def test_a_rate_that_is_none_is_refused_before_the_first_recording(model, clips):
    for fps in (0, -1.0, float("inf")):
        with pytest.raises(UsageError, match="above 0"):
            merzoo.predict_all(clips, "tiny", face="none", fps=fps)
        with pytest.raises(UsageError, match="above 0"):
            next(predict_each(clips, recognizer_of("tiny"), face="none", fps=fps))


def test_no_recordings(model, tmp_path):
    for folder, words in ((tmp_path / "nowhere", "does not exist"), (tmp_path / "empty", "no recording")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(MediaError, match=words):
            merzoo.predict_all(folder, "tiny")
    with pytest.raises(MediaError, match="no recording"):
        merzoo.predict_all([], "tiny")
    with pytest.raises(UsageError, match="--out"):
        merzoo.predict_all(tmp_path / "empty", "tiny", out=tmp_path / "empty")


def test_what_a_strange_file_sets_off_is_its_own_row(model, clips, monkeypatch):
    def decode(*arguments, **options):
        raise cv2.error("(-215) assertion failed\n in function")

    monkeypatch.setattr("merzoo.faces.face_clips", decode)
    found = merzoo.predict_all(clips, "tiny", face="none")
    assert len(found) == 3 and found["error"].str.contains("unexpected error").tolist() == [False, True, True]


@pytest.mark.skipif(os.name != "posix", reason="such names are not allowed there")
def test_a_video_whose_name_is_no_text_is_refused_not_a_crash(model, clips):
    (clips / os.fsdecode(b"\xff.mp4")).write_bytes(b"\0" * 100)
    found = merzoo.predict_all(clips, "tiny", face="none")
    assert len(found) == 4 and found["error"].str.contains("no UTF-8").sum() == 1


def test_rows_are_there_while_the_rest_is_still_to_do(model, clips, tmp_path):
    each = predict_each(clips, recognizer_of("tiny"), face="none", out=tmp_path / "out")
    next(each), next(each)
    each.close()  # as Ctrl-C does
    assert [row["source"] for row in table(tmp_path / "out")] == ["clip9.mp4", "clip10"]


def kept(clips, out, **options):
    each = predict_each(clips, recognizer_of("tiny"), out=out, resume=True, **{"face": "none", **options})
    return {outcome.source: outcome.kept for outcome in each}


def test_resume_keeps_what_is_good(model, clips, tmp_path, capsys):
    out = tmp_path / "out"
    run(capsys, clips, "--out", out)
    before = (out / "predictions.csv").read_bytes()
    assert kept(clips, out) == {"clip9.mp4": False, "clip10": True, "more/clip2": True}
    assert (out / "predictions.csv").read_bytes() == before
    shutil.rmtree(clips / "clip10")
    frames(clips / "clip10", 9)
    assert kept(clips, out) == {"clip9.mp4": False, "clip10": False, "more/clip2": True}
    (out / "more" / "clip2" / "prediction.json").write_text('{"events": 3}')
    assert kept(clips, out)["more/clip2"] is False
    assert kept(clips, out)["more/clip2"] is True


def test_resume_with_other_weights_or_options_starts_anew(model, clips, tmp_path):
    out = tmp_path / "out"
    kept(clips, out)
    assert not any(kept(clips, out, fps=25.0).values())
    assert any(kept(clips, out, fps=25.0).values())
    (tmp_path / "other").mkdir()
    weigh(tmp_path / "other" / "tiny.safetensors", 1)
    same_tag = [recognizer_of("tiny", tmp_path / "other" / "tiny.safetensors"), recognizer_of("tiny", model)]
    assert same_tag[0].weights.tag == same_tag[1].weights.tag
    list(predict_each(clips, same_tag[1], out=out, face="none"))
    assert not any(outcome.kept for outcome in predict_each(clips, same_tag[0], out=out, face="none", resume=True))


def test_a_batch_that_was_begun_anew_forgets_the_older_one(model, clips, tmp_path):
    out = tmp_path / "out"
    kept(clips, out)
    each = predict_each(clips, recognizer_of("tiny"), face="none", out=out)
    next(each)
    each.close()
    assert not any(kept(clips, out).values())


@pytest.mark.parametrize("resume", [False, True])
def test_the_table_of_another_batch_is_not_overwritten(model, clips, tmp_path, resume):
    out = tmp_path / "out"
    kept(clips, out)
    before = (out / "predictions.csv").read_bytes()
    frames(tmp_path / "other" / "clip1")
    frames(tmp_path / "other" / "clip2")
    with pytest.raises(UsageError, match=r"holds 2 recordings that are not in this batch \(first: clip10\)"):
        list(predict_each(tmp_path / "other", recognizer_of("tiny"), face="none", out=out, resume=resume))
    assert (out / "predictions.csv").read_bytes() == before and not (out / "clip1").exists()


@pytest.mark.skipif(os.name != "posix", reason="such names are not allowed there")
def test_names_that_a_spreadsheet_would_run(model, tmp_path, capsys):
    names = ["=cmd()", "+1", "-2", "@x", "a\nb", "＝1", "fine"]
    for name in names:
        frames(tmp_path / "clips" / name, 4)
    frames(tmp_path / "clips" / os.fsdecode(b"\xff"), 4)
    out = tmp_path / "out"
    code, _ = run(capsys, tmp_path / "clips", "--out", out)
    assert code == 0
    cells = {row["source"] for row in table(out)}
    assert cells == {"'=cmd()", "'+1", "'-2", "'@x", "a\\nb", "'＝1", "fine", "\\udcff"}
    assert all(kept(tmp_path / "clips", out).values())


def test_cells():
    assert [cell(value) for value in ("=1", " =1", "\t@x", -1.5, None, True, "a-b")] == ["'=1", "' =1", "\\t@x", -1.5, "", True, "a-b"]


def test_a_recording_without_events_has_a_row():
    (row,) = rows("a", [{"fps": None, "frames": 9, "events": []}], "", {"model": "m", "weights": "w"})
    assert row["frames"] == 9 and "emotion" not in row


def test_a_table_refuses_what_it_has_no_column_for(tmp_path):
    made = Table(tmp_path, columns(LABELS))
    with pytest.raises(RunError, match="p_angry"):
        made.add([{"source": "a", "p_angry": 1.0}])
    made.close()
    assert pd.read_csv(tmp_path / "predictions.csv").empty


def test_a_table_cut_off_within_a_row(tmp_path):
    made = Table(tmp_path, columns(LABELS))
    made.add([{"source": name, "error": ""} for name in ("a", "b")])
    made.close()
    text = made.path.read_bytes()
    made.path.write_bytes(text[:-4])
    assert finished(made.path) == {"a"}
    made.path.write_bytes(b"\xff\xfe\0")
    assert finished(made.path) == finished(tmp_path / "nowhere.csv") == frozenset()


def test_a_full_disk_stops_with_one_line(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    made = Table(tmp_path, columns(LABELS))
    made._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with pytest.raises(RunError, match="make room"):
        made.add([{"source": "a", "error": ""}])
    made.close()
