"""From a source to a prediction and its picture, through the library."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import merzoo
from merzoo import weights as weight_files
from merzoo.canvas import Canvas, drawable, text_width, wrapped
from merzoo.entries import Register
from merzoo.errors import DataError, MediaError, MerzooWarning, NoFaceError, RunError, UnknownNameError, UsageError, WeightsError
from merzoo.events import TOGETHER, Event, _alike, looks
from merzoo.interval import Interval
from merzoo.output import write_together
from merzoo.pictures import change, draw, overlay
from merzoo.prediction import DEFAULT_MODEL, Prediction, default_model
from merzoo.recognizer import assemble, build
from merzoo.registry import registry
from merzoo.specs import Preprocessing, View, WeightsSpec

FACES = Path(__file__).resolve().parents[2] / "shared/data/faces"
VIDEO = FACES / "single_face.mp4"
needs_video = pytest.mark.skipif(not VIDEO.is_file(), reason=f"no real face video at {VIDEO}")
LABELS = ("calm", "happy", "sad")


@pytest.fixture
def net():
    torch.manual_seed(0)
    made = build(("timm/test_resnet", {"view": "difference", "size": 64}), labels=LABELS, preprocessing=Preprocessing(size=72))
    return made.eval()


@pytest.fixture(scope="module")
def crops():
    """A textured square whose lower part rises by up to 6 px and comes back: uint8 [24, 96, 96, 3]."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(60, 200, (24, 24, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    frames = np.repeat(texture[None], 24, axis=0)
    for t, shift in enumerate(np.rint(6 * np.sin(np.linspace(0, np.pi, 24))).astype(int)):
        frames[t, 60:90] = np.roll(texture, -shift, axis=0)[60:90]
    return frames


@pytest.fixture
def moved(net, crops):
    """A prediction for a given interval."""
    return merzoo.predict(crops, net, face="none", interval=(2, 11, 20))


def test_a_prediction_has_the_fields_of_the_contract(moved):
    facts = json.loads(json.dumps(moved.to_dict(), allow_nan=False))
    assert list(facts) == ["source", "model", "preset", "weights", "trained_on", "fps", "frames", "face", "events"]
    assert (facts["source"], facts["preset"], facts["weights"], facts["fps"], facts["frames"]) == ("array", "full", None, None, 24)
    assert set(facts["face"]) == {"box", "detected_fraction"} and facts["face"]["detected_fraction"] is None
    (event,) = facts["events"]
    assert (event["onset"], event["apex"], event["offset"]) == (2, 11, 20)
    assert set(event["probabilities"]) == set(LABELS) and sum(event["probabilities"].values()) == pytest.approx(1)
    assert event["emotion"] == max(event["probabilities"], key=event["probabilities"].get)
    assert event["strength"] is None and event["confident"] is True


def test_probabilities_are_those_of_the_network_on_the_view_of_the_interval(net, moved):
    event = moved.events[0]
    assert event.onset_crop.shape == (64, 64, 3)
    difference = (event.apex_crop.astype(np.float32) - event.onset_crop).transpose(2, 0, 1)[None] / 255
    with torch.inference_mode():
        p = net({"difference": torch.from_numpy(difference)}).softmax(1)[0]
    np.testing.assert_allclose(list(event.probabilities.values()), p.numpy(), atol=1e-5)
    assert event.heat is not None and 0 <= event.heat.min() <= event.heat.max() <= 1


def test_the_motion_curve_starts_at_rest_and_peaks_where_the_face_is_furthest(moved):
    frames, moves = zip(*moved.events[0].motion, strict=True)
    assert (frames[0], frames[-1], moves[0]) == (2, 20, 0.0)
    assert 8 <= frames[int(np.argmax(moves))] <= 15 and max(moves) > 1


def test_without_an_interval_the_strongest_event_comes_first(net, crops):
    p = merzoo.predict(np.concatenate([crops, crops[:1].repeat(20, axis=0), crops]), net, face="none", fps=30)
    strengths = [event.strength for event in p.events]
    assert strengths == sorted(strengths, reverse=True) and len(strengths) >= 2
    assert all(0 <= event.onset <= event.apex <= event.offset < p.frames for event in p.events)
    assert p.fps == 30 and p.seconds(15) == 0.5


def test_all_events_go_through_the_network_in_one_batch(net, crops):
    recording = np.concatenate([crops, crops[:1].repeat(20, axis=0), crops])
    sizes = []
    with_hook = net.register_forward_pre_hook(lambda module, batch: sizes.append(len(batch[0]["difference"])))
    p = merzoo.predict(recording, net, face="none", fps=30)
    with_hook.remove()
    assert sizes == [len(p.events)] and sizes[0] >= 2
    for event in p.events:
        alone = merzoo.predict(recording, net, face="none", fps=30, interval=(event.onset, event.apex, event.offset)).events[0]
        assert list(event.probabilities.values()) == pytest.approx(list(alone.probabilities.values()), abs=1e-5)
        assert np.allclose(event.heat, alone.heat, atol=1e-4) and event.emotion == alone.emotion


def test_events_are_batched_by_the_shape_of_their_inputs_and_not_without_end():
    def of(side):
        return [{"difference": torch.zeros(1, 3, side, side)}]

    assert _alike([of(64), of(48), of(64)]) == [[0, 2], [1]]
    assert [len(group) for group in _alike([of(8)] * (2 * TOGETHER + 1))] == [TOGETHER, TOGETHER, 1]


def test_how_fast_it_went_is_told_and_not_kept(net, crops, moved):
    p = merzoo.predict(crops, net, face="none", interval=(2, 11, 20))
    assert p.elapsed > 0 and p.frames_per_second == pytest.approx(24 / p.elapsed)
    assert "; searched at " in str(p).splitlines()[0]
    assert p.to_dict() == moved.to_dict() and "; searched" not in str(made_up())


def test_nothing_moves_one_event_and_it_is_flagged(net, crops):
    p = merzoo.predict(crops[:1].repeat(30, axis=0), net, face="none")
    (event,) = p.events
    assert event.confident is False and "no movement stands out" in str(p)
    draw(p)


def test_several_looks_are_averaged(net, crops):
    spec = net.spec.__class__(**{**vars(net.spec), "test_views": {"difference": (View("difference"), View("dynamic-image"))}})
    net.spec = spec
    frames = crops[:, :72, :72]
    batches = looks(net, frames, Interval(0, 10, 20))
    assert [sorted(b) for b in batches] == [["difference"], ["difference"]] and not torch.equal(*(b["difference"] for b in batches))
    p = merzoo.predict(crops, net, face="none", interval=Interval(0, 10, 20)).events[0].probabilities
    with torch.inference_mode():
        assert list(p.values()) == pytest.approx(net.probabilities(looks(net, *_seen(crops, 72))).tolist()[0], abs=1e-5)


def _seen(crops, size):
    from merzoo.faces import face_clips

    event = face_clips(crops, face="none", size=size, interval=Interval(0, 10, 20))[0].events[0]
    return event.frames, Interval(0, 10, 20)


def test_a_recogniser_in_training_mode_is_left_in_it(net, crops):
    expected = merzoo.predict(crops, net, face="none", interval=(0, 10, 20)).events[0].probabilities
    assert merzoo.predict(crops, net.train(), face="none", interval=(0, 10, 20)).events[0].probabilities == expected
    assert net.training
    assert net.predict(crops, face="none", interval=(0, 10, 20)).events[0].probabilities == expected


@needs_video
def test_a_real_video(net, tmp_path):
    p = merzoo.predict(str(VIDEO), net, out=tmp_path / "made" / "here")
    assert (p.frames, p.fps) == (72, 30) and p.face["detected_fraction"] >= 0.95
    assert p.events[0].confident and 5 <= p.events[0].onset < p.events[0].apex
    saved = json.loads((tmp_path / "made/here/prediction.json").read_text())
    assert saved == p.to_dict()
    picture = Image.open(tmp_path / "made/here/prediction.png")
    assert picture.width == 1440 and picture.height > 600
    assert sorted(f.name for f in (tmp_path / "made/here").iterdir()) == ["prediction.json", "prediction.png"]


@needs_video
def test_several_faces(net, tmp_path):
    from merzoo.faces import open_source

    frames = np.stack(list(open_source(VIDEO)))[10:40]
    both = np.concatenate([frames, np.ascontiguousarray(frames[:, ::2, ::2]).repeat(1, axis=0).repeat(2, axis=1)[:, :, :320]], axis=2)
    with pytest.warns(MerzooWarning, match="face"):
        assert isinstance(merzoo.predict(both, net), Prediction)
    found = merzoo.predict(both, net, face="all", out=tmp_path)
    assert isinstance(found, list) and len(found) >= 2
    assert found[0].face["box"][2] >= found[1].face["box"][2] and found[0].face["box"] != found[1].face["box"]
    assert json.loads((tmp_path / "prediction.json").read_text()) == [p.to_dict() for p in found]
    assert (tmp_path / "prediction-2.png").is_file()


def zoo(monkeypatch, tmp_path, net, name="tiny-test"):
    """Put a model with weights, and one before it whose weights are elsewhere, into the registry of this process."""
    from merzoo.plugins import load_registry

    trained_on = {"data": "synthetic test faces", "manifest_hash": "ab" * 32, "subjects": ["a", "b", "c"]}
    sha = weight_files.write(tmp_path / "w.safetensors", net.saved(), {"model": name, "preset": "full", "labels": LABELS, "trained_on": trained_on})
    found = WeightsSpec("first", "full", str(tmp_path / "w.safetensors"), sha, LABELS, trained_on)
    register = Register("testers")
    register.model(net.spec.__class__(**{**vars(net.spec), "name": name, "weights": (found,)}))
    far = WeightsSpec("far", "full", f"hf://org/repo@{'a' * 40}/w.safetensors", sha, LABELS)
    register.model(net.spec.__class__(**{**vars(net.spec), "name": "0-far", "weights": (far,)}))
    fresh = load_registry()
    fresh.add(register)
    monkeypatch.setattr("merzoo.registry._registry", fresh)


def test_a_model_by_name_with_its_weights(monkeypatch, tmp_path, net, crops, moved):
    zoo(monkeypatch, tmp_path, net)
    p = merzoo.predict(crops, "tiny-test", face="none", interval=(2, 11, 20))
    assert p.events[0].probabilities == moved.events[0].probabilities
    assert (p.model, p.weights) == ("tiny-test", "first")
    assert p.trained_on == {"data": "synthetic test faces", "manifest_hash": "ab" * 32, "subjects": 3}
    assert p.training == "synthetic test faces (3 subjects)" and "demonstration, not a diagnosis" in p.note
    with pytest.raises(UnknownNameError, match="tiny-test"):
        merzoo.predict(crops, "tiny-tset", face="none")
    with pytest.raises(UnknownNameError, match="first"):
        merzoo.predict(crops, "tiny-test", weights="second", face="none")


def test_without_a_model_the_usual_one_is_taken_or_the_first_with_weights(monkeypatch, tmp_path, net):
    zoo(monkeypatch, tmp_path, net, name="0-tiny")
    assert default_model() == DEFAULT_MODEL  # a plugin beside does not change it
    monkeypatch.setattr("merzoo.prediction.DEFAULT_MODEL", "not-installed")
    assert default_model() == "0-tiny"
    monkeypatch.setattr("merzoo.registry._registry", merzoo.registry.Registry())
    with pytest.raises(UsageError, match="weights"):
        default_model()


def test_action_units_stand_beside_the_emotion(crops):
    recognizer = assemble(registry().model("amnet3d"), "small", ("a", "b")).eval()
    big = crops.repeat(2, axis=1).repeat(2, axis=2)
    p = merzoo.predict(big, recognizer, face="none", interval=(2, 11, 20))
    units = p.events[0].to_dict()["auxiliary"]["au-detection"]["aus"]
    assert [*units][:2] == ["AU1", "AU2"] and len(units) == 12 and all(0 < share < 1 for share in units.values())
    assert "; au-detection: " in str(p)


def test_weights_that_are_not_finite_are_refused(net, crops, tmp_path):
    with torch.no_grad():
        net.head.linear.bias.fill_(float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        merzoo.predict(crops, net, face="none", interval=(0, 5, 9), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"interval": (5, 3, 9)}, DataError, "order"),
        ({"interval": (0, 5, 99)}, UsageError, "ends after"),
        ({"interval": (0, 5)}, UsageError, "three frame numbers"),
        ({"device": "quantum"}, UsageError, "unknown device"),
        ({"face": "both"}, UsageError, "face"),
        ({"face": "largest"}, NoFaceError, "face"),
        ({"fps": -1}, MediaError, "fps"),
        ({"weights": "other"}, UsageError, "its weights already"),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(net, crops, tmp_path, options, error, words):
    with pytest.raises(error, match=words) as caught:
        merzoo.predict(crops, net, **{"face": "none", **options}, out=tmp_path / "a" / "b")
    assert isinstance(caught.value, merzoo.errors.MerzooError) and "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_crops_smaller_than_the_network_wants(crops):
    small = build(("timm/test_resnet", {"view": "difference", "size": 96}), labels=LABELS, preprocessing=Preprocessing(size=72))
    with pytest.raises(UsageError, match="72 px"):
        merzoo.predict(crops, small)  # said before the search, which finds no face


def test_an_output_folder_that_cannot_be_written(net, crops, tmp_path):
    (tmp_path / "file").write_text("here first")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing/here"), "nul\0byte"):
        with pytest.raises(RunError):
            merzoo.predict(crops, net, face="none", out=out)
    (tmp_path / "taken" / "prediction.png").mkdir(parents=True)
    with pytest.raises(RunError, match="is a folder"):
        merzoo.predict(crops, net, face="none", interval=(0, 5, 9), out=tmp_path / "taken")
    assert [f.name for f in (tmp_path / "taken").iterdir()] == ["prediction.png"]


def test_files_are_written_together_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "one").write_bytes(b"old")
    with monkeypatch.context() as patch, pytest.raises(RunError, match="cannot be written"):
        patch.setattr(Path, "write_bytes", _full_disk(Path.write_bytes))
        write_together(tmp_path, {"one": b"new", "two": b"new"})
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {"one": b"old"}
    assert write_together(tmp_path, {"one": b"new", "two": b"new"}) == [tmp_path / "one", tmp_path / "two"]
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {"one": b"new", "two": b"new"}


def _full_disk(write):
    calls = []

    def limited(path, data):
        calls.append(path)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(path, data)

    return limited


def made_up(**changed):
    crop = np.full((64, 64, 3), 90, np.uint8)
    event = Event("happy", {"happy": 0.75, "sad": 0.25}, 3, 9, 14, 2.0, True, crop, crop + 20, np.eye(7, dtype=np.float32), [(3, 0.0), (9, 2.0), (14, 0.5)])
    facts = {"source": "a.mp4", "model": "m", "preset": "small", "weights": "t", "trained_on": {"data": "x"}, "fps": 30.0, "frames": 40}
    return Prediction(**{**facts, "face": {"box": [1, 2, 3, 4], "detected_fraction": 0.5}, "events": [event], **changed})


def test_a_notebook_shows_the_picture_and_strangers_text_stays_text():
    p = made_up(source='<script>"\x1b[31m', weights="<b>")
    page = p._repr_html_()
    assert "<script>" not in page and "\x1b" not in page and page.startswith("<img")
    assert Image.open(io.BytesIO(p._repr_png_())).format == "PNG"
    assert "\x1b" not in str(p) and "75%" in str(p)


def test_pictures_of_odd_predictions():
    event = made_up().events[0]
    heights = [draw(made_up(events=[event] * n)).height for n in (0, 1, 3, 5)]
    assert heights[0] < heights[1] < heights[2] == heights[3]
    many = {f"emotion {i}": 0.05 for i in range(20)}
    for odd in (
        made_up(fps=None, frames=1, source="中" * 300 + "\n\x07.mp4", trained_on=None),
        made_up(weights=None, events=[Event("emotion 3", many, 0, 0, 0, None, False, event.onset_crop, event.onset_crop)], fps=1e9),
        made_up(frames=10**6, fps=1e-3, face={"box": [0, 0, 9, 9], "detected_fraction": None}),
    ):
        assert draw(odd).width == 1440


def test_a_mark_of_the_bars_is_as_long_as_its_probability():
    sheet = np.asarray(draw(made_up())).astype(int)
    accent = np.abs(sheet - [0x0F, 0x76, 0x6E]).sum(2) < 12
    rest = np.abs(sheet - [0xA9, 0xB0, 0xBA]).sum(2) < 12
    right = slice(1080, 1440)
    assert accent[:, right].sum(1).max() / rest[:, right].sum(1).max() == pytest.approx(3, rel=0.05)


def test_change_shows_small_motion_and_heat_glows_where_it_is_hot():
    onset = np.full((32, 32, 3), 100, np.uint8)
    apex = onset.copy()
    apex[4:12, 4:12] += 8
    grey, gain = change(onset, apex)
    assert gain > 8 and grey[8, 8, 0] - 128 == 8 * gain and grey[20, 20, 0] == 128
    assert change(onset, onset)[0].max() == 128
    heat = np.zeros((8, 8), np.float32)
    heat[2, 6] = 1
    shown = overlay(onset, heat)
    assert np.ptp(shown[10, 26].astype(int)) > 80 and (shown[28, 4] == 100).all()


def test_text_fits_and_nothing_is_drawn_as_an_empty_box():
    assert drawable("né\x1b[0m – 中δ") == "ne\\x1b[0m \\u2013 \\u4e2d\\u03b4"
    lines = wrapped("x" * 500 + " and more", 20, 300)
    assert "".join(lines).replace(" ", "") == "x" * 500 + "andmore" and all(text_width(line, 20) <= 300 for line in lines)
    assert Canvas(300, 40).text((0, 0), "a long name " * 30, 20, "black", width=250) <= 250


def test_no_warning_of_ours_in_a_plain_prediction(net, crops):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MerzooWarning)
        merzoo.predict(crops, net, face="none", interval=(0, 5, 9))
