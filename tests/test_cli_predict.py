"""`merzoo predict` as a user runs it: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from merzoo import weights as weight_files
from merzoo.cli import main
from merzoo.entries import Register
from merzoo.recognizer import build
from merzoo.specs import ModelSpec, Preprocessing, Preset, WeightsSpec

VIDEO = Path(__file__).resolve().parents[2] / "shared/data/faces/single_face.mp4"
needs_video = pytest.mark.skipif(not VIDEO.is_file(), reason=f"no real face video at {VIDEO}")
LABELS = ("calm", "happy", "sad")
FIELDS = ["source", "model", "preset", "weights", "trained_on", "fps", "frames", "face", "events"]
PRESETS = {"small": Preset({"view": "difference", "size": 64}, preprocessing=Preprocessing(size=72))}
NETWORK = ("timm/test_resnet", {"view": "difference", "size": 64})
TRAINED = {"data": "synthetic test faces", "subjects": ["a", "b"]}


def write(path, tensors=None, **card):
    """A file of weights for the model `tiny`; gives its sha256."""
    torch.manual_seed(0)
    tensors = build(NETWORK, labels=LABELS).saved() if tensors is None else tensors
    return weight_files.write(path, tensors, {"model": "tiny", "preset": "small", "labels": LABELS, "trained_on": TRAINED, **card})


def spec(path, sha):
    return ModelSpec("tiny", "for tests", NETWORK[0], presets=PRESETS, weights=(WeightsSpec("first", "small", str(path), sha, LABELS, TRAINED),))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The model `tiny` in the registry of this process, its weights in a file; gives the file."""
    from merzoo.plugins import load_registry

    path = tmp_path / "tiny.safetensors"
    register, zoo = Register("testers"), load_registry()
    register.model(spec(path, write(path)))
    zoo.add(register)
    monkeypatch.setattr("merzoo.registry._registry", zoo)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames of a textured square whose lower part rises and comes back."""
    made = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(60, 200, (20, 20, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    for t, shift in enumerate(np.rint(5 * np.sin(np.linspace(0, np.pi, 20))).astype(int)):
        frame = texture.copy()
        frame[50:76] = np.roll(texture, -shift, axis=0)[50:76]
        cv2.imwrite(str(made / f"{t}.png"), frame)
    return made


def test_json(tiny, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(folder), "--model", "tiny", "--face", "none", "--interval", "1,9,18", "--json", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert list(facts) == [*FIELDS, "speed"] and printed.err == ""
    speed = facts.pop("speed")  # is printed, and not kept: the same input gives the same file
    assert speed["frames_per_second"] == pytest.approx(20 / speed["seconds"], rel=0.02) and speed["seconds"] > 0
    assert (facts["model"], facts["preset"], facts["weights"], facts["trained_on"]["subjects"]) == ("tiny", "small", "first", 2)
    assert (facts["source"], facts["frames"], facts["fps"]) == (str(folder), 20, None)
    assert [facts["events"][0][name] for name in ("onset", "apex", "offset")] == [1, 9, 18]
    assert json.loads((out / "prediction.json").read_text()) == facts
    assert Image.open(out / "prediction.png").width == 1440
    assert len(list(out.iterdir())) == 2
    kept = (out / "prediction.json").read_bytes()
    assert main(["predict", str(folder), "--model", "tiny", "--face", "none", "--interval", "1,9,18", "--out", str(out)]) == 0
    assert (out / "prediction.json").read_bytes() == kept


def test_text(tiny, folder, tmp_path, capsys):
    assert main(["predict", str(folder), "--model", "tiny@first", "--face", "none", "--fps", "20", "--device", "cpu", "--out", str(tmp_path / "o")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "20 frames, 20 fps" in lines[0] and re.search(r"; searched at [0-9,]+ frames a second$", lines[0])
    assert "tiny, preset small, weights first, trained on synthetic test faces (2 subjects)" in lines[1]
    assert lines[2].split()[:3] == ["emotion", "p", "onset"] and lines[3].split()[0] == "1" and lines[3].split()[1] in LABELS
    assert lines[-2] == "Trained on synthetic faces: a demonstration, not a diagnosis."
    assert lines[-1].startswith("written: ") and "prediction.png" in lines[-1]


def test_weights_by_path(tiny, folder, tmp_path, capsys):
    write(tmp_path / "mine.safetensors", trained_on={"data": "my own clips"})
    assert main(["predict", str(folder), "--model", "tiny", "--weights", str(tmp_path / "mine.safetensors"), "--face", "none", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["weights"], facts["trained_on"]) == ("mine.safetensors", {"data": "my own clips"})


def _video(path, frames, codec="mp4v"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (frames.shape[2], frames.shape[1]))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


PICTURE = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
NOISE = np.random.default_rng(0).integers(0, 255, (12, 96, 96, 3), np.uint8)
SOURCES = {
    "missing": (lambda d: d / "nowhere.mp4", "does not exist"),
    "empty folder": (lambda d: _made(d / "empty"), "holds no frames"),
    "text": (lambda d: _put(d / "text.mp4", b"this is no video\n" * 50), "text, not a video"),
    "empty file": (lambda d: _put(d / "empty.mp4", b""), "empty"),
    "noise": (lambda d: _put(d / "noise.mp4", NOISE.tobytes()[:5000]), "cannot be decoded"),
    "single picture": (lambda d: _put(d / "one.png", PICTURE), "single picture"),
    "single frame": (lambda d: _video(d / "one.mp4", NOISE[:1]), "single frame"),
    "one frame in a folder": (lambda d: _put(_made(d / "f") / "1.png", PICTURE).parent, "single frame"),
    "no face": (lambda d: _video(d / "noface.mp4", NOISE), "face"),
}


def _made(folder):
    folder.mkdir()
    return folder


def _put(path, data):
    path.write_bytes(data)
    return path


def failure(capsys, arguments, out):
    """Run a command that must fail; gives its one line."""
    assert main([*arguments, "--out", str(out)]) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == "" and len(lines) == 1 and lines[0].startswith("merzoo: "), printed
    assert not out.exists()
    return lines[0]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_bad_source(tiny, tmp_path, capsys, kind):
    make, words = SOURCES[kind]
    (tmp_path / "sources").mkdir()
    assert words in failure(capsys, ["predict", str(make(tmp_path / "sources")), "--model", "tiny"], tmp_path / "out")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "truncated": (_cut, "damaged or changed"),
    "tampered": (_flip, "damaged or changed"),
    "pickled": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "pickle"),
    "gone": (lambda path: path.unlink(), "do not exist"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_weights_that_the_model_comes_with(tiny, folder, tmp_path, capsys, kind):
    damage, words = DAMAGES[kind]
    damage(tiny)
    assert words in failure(capsys, ["predict", str(folder), "--model", "tiny", "--face", "none"], tmp_path / "out")


def _without(key, state):
    return {k: v for k, v in state.items() if k != key}


FILES = {
    "truncated": (lambda p: (write(p), _cut(p)), "cut off"),
    "pickled": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "pickle"),
    "missing key": (lambda p: write(p, _without("head.linear.bias", build(NETWORK, labels=LABELS).saved())), "missing key head.linear.bias"),
    "extra key": (lambda p: write(p, {**build(NETWORK, labels=LABELS).saved(), "head.more": torch.zeros(1)}), "extra key head.more"),
    "wrong shape": (lambda p: write(p, {**build(NETWORK, labels=LABELS).saved(), "head.linear.bias": torch.zeros(9)}), "wrong shape head.linear.bias"),
    "another model's": (lambda p: write(p, model="huge"), "'huge'"),
    "missing": (lambda p: None, "do not exist"),
}


@pytest.mark.parametrize("kind", FILES)
def test_bad_weights_by_path(tiny, folder, tmp_path, capsys, kind):
    make, words = FILES[kind]
    path = tmp_path / "given.safetensors"
    make(path)
    assert words in failure(capsys, ["predict", str(folder), "--model", "tiny", "--face", "none", "--weights", str(path)], tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "tniy"], "did you mean tiny"),
        (["--model", "tiny", "--weights", "second"], "first"),
        (["--model", "resnet18-apex"], "without weights"),
        (["--model", "tiny", "--interval", "1,2"], "three frame numbers"),
        (["--model", "tiny", "--interval", "a,b,c"], "ONSET,APEX,OFFSET"),
        (["--model", "tiny", "--interval", "5,2,9"], "order"),
        (["--model", "tiny", "--interval", "5,8,900"], "ends after"),
        (["--model", "tiny", "--device", "abacus"], "abacus"),
        (["--model", "tiny", "--fps", "nan"], "fps"),
        (["--model", "tiny", "--nonsense"], "nonsense"),
    ],
)
def test_bad_options(tiny, folder, tmp_path, capsys, arguments, words):
    assert words in failure(capsys, ["predict", str(folder), "--face", "none", *arguments], tmp_path / "out")


def test_a_name_that_two_plugins_claim(tiny, folder, tmp_path, capsys):
    from merzoo.registry import registry

    other = Register("rivals")
    other.model(spec(tiny, "0" * 64))
    registry().add(other)
    line = failure(capsys, ["predict", str(folder), "--model", "tiny", "--face", "none"], tmp_path / "out")
    assert "testers" in line and "rivals" in line


def test_an_output_folder_that_cannot_be_written(tiny, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["predict", str(folder), "--model", "tiny", "--face", "none", "--out", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and (tmp_path / "file").read_text() == "mine"
    assert "no folder" in failure(capsys, ["predict", str(folder), "--model", "tiny", "--face", "none"], tmp_path / "file" / "deeper")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_an_output_folder_without_permission(tiny, folder, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be written" in failure(capsys, ["predict", str(folder), "--model", "tiny", "--face", "none"], tmp_path / "locked" / "out")


@needs_video
def test_a_video_that_is_cut_off_works_with_a_warning(tiny, tmp_path, capsys):
    frames = np.stack([_read(VIDEO, n) for n in range(60)])
    whole = _video(tmp_path / "whole.avi", frames, "MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 6 // 10])
    assert main(["predict", str(tmp_path / "cut.avi"), "--model", "tiny", "--json"]) == 0
    printed = capsys.readouterr()
    assert 20 < json.loads(printed.out)["frames"] < 60
    assert len(printed.err.splitlines()) == 1 and "warning" in printed.err and "cut off" in printed.err


def _read(path, number, cache={}):  # noqa: B006  (decoded once)
    if path not in cache:
        from merzoo.faces import open_source

        cache[path] = [frame[..., ::-1] for frame in open_source(path)]
    return cache[path][number]


@needs_video
def test_all_faces_are_a_list(tiny, tmp_path, capsys):
    assert main(["predict", str(VIDEO), "--model", "tiny", "--face", "all", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert list(facts) == [*FIELDS, "speed"] and facts["face"]["detected_fraction"] >= 0.95


ALONE = """
import json, socket, sys
from pathlib import Path

def refused(*_, **__):
    raise OSError("the network is off")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
from merzoo.cli import main

code = main(sys.argv[1:])
print("loaded:", json.dumps([name for name in ("sklearn", "timm", "pandas", "matplotlib", "requests") if name in sys.modules]), file=sys.stderr)
sys.exit(code)
"""
PLUGIN = """
from merzoo.specs import ModelSpec, Preprocessing, Preset, WeightsSpec

def merzoo_register(register):
    register.backbone("spot-net", "{module}:SpotNet", provides=("pooled", "maps"))
    weights = WeightsSpec("first", "small", "package:{module}_files/w.safetensors", "{sha}", ("calm", "happy"), {{"data": "synthetic"}})
    register.model(ModelSpec("00-spot", "for tests", "spot-net", presets={{"small": Preset(preprocessing=Preprocessing(size=64))}}, weights=(weights,)))

def __getattr__(name):
    if name != "SpotNet":
        raise AttributeError(name)
    from {module}_files.net import SpotNet
    return SpotNet
"""
NET = """
import torch
from merzoo.interfaces import Backbone, Features
from merzoo.specs import View

class SpotNet(Backbone):
    def __init__(self):
        super().__init__()
        self.inputs, self.views = {"difference": (3, 56, 56)}, {"difference": View("difference")}
        self.conv = torch.nn.Conv2d(3, 8, 9, stride=4)

    def forward(self, batch):
        found = self.conv(batch["difference"]).relu()
        return Features({"spot": found.mean((2, 3))}, {"spot": found})
"""


@pytest.fixture
def offline(site):
    """A stranger's plugin with a network and weights of its own, in a process without network whose caches are empty."""
    files = site.root / "spotter_files"
    files.mkdir()
    (files / "__init__.py").write_text("")
    (files / "net.py").write_text(NET)
    state = {"backbone.conv.weight": torch.randn(8, 3, 9, 9), "backbone.conv.bias": torch.zeros(8)}
    state |= {"head.linear.weight": torch.randn(2, 8), "head.linear.bias": torch.zeros(2)}
    site.distribution("spotter", source=PLUGIN.format(module="spotter", sha=weight_files.write(files / "w.safetensors", state, {})))
    home = site.root / "home"
    home.mkdir()
    return lambda *arguments: site.python(ALONE, *arguments, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"), HF_HOME=str(home / "hf")), home


@needs_video
def test_a_strangers_plugin_without_network_and_cache(offline, tmp_path):
    run, home = offline
    done = run("predict", str(VIDEO), "--model", "00-spot", "--json", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "loaded: []\n"
    assert json.loads(done.stdout)["face"]["detected_fraction"] >= 0.95
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prediction.json", "prediction.png"]
    assert list(home.rglob("*")) == []


def test_failing_early_does_not_wait_for_torch(site, one_line):
    code = "import sys; from merzoo.cli import main; code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    assert "does not exist" in one_line(site.python(code, "predict", "nowhere.mp4", "--out", "out"))
    assert not (site.root / "out").exists()
