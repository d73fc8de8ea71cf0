"""Published models made to do harm: configs that name what to import or where to write, bombs, links and devices, sizes that take memory, names that speak to
terminals and browsers. Loading one does nothing but raise."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attacked import CARD

import merzoo
from merzoo.digests import sha256
from merzoo.fits import network_facts
from merzoo.hub import parse
from merzoo.interfaces import Backbone
from merzoo.making import make
from merzoo.published import CONFIG, WEIGHTS
from merzoo.registry import registry
from merzoo.weights import checked, write

Refused = Callable[..., str]


def load(folder: Path) -> Any:
    return merzoo.load(f"local-dir:{folder}")


def edit(folder: Path, path: str, value: Any) -> None:
    """Set one field of the config; dots reach into objects."""
    config = json.loads((folder / CONFIG).read_text())
    *outer, last = path.split(".")
    place = config
    for key in outer:
        place = place[key]
    place[last] = value
    (folder / CONFIG).write_text(json.dumps(config))


def rewrite(folder: Path, tensors: dict[str, torch.Tensor], **changed: Any) -> None:
    """Other tensors and another header, of which the config says the same."""
    digest = write(folder / WEIGHTS, tensors, CARD | changed)
    edit(folder, "weights", {"file": WEIGHTS, "sha256": digest, "bytes": (folder / WEIGHTS).stat().st_size})
    for name, value in changed.items():
        edit(folder, name, value)


def test_the_folder_that_is_attacked_is_good(folder: Path, recognizer: Any) -> None:
    loaded = load(folder)
    assert loaded.labels == recognizer.labels and loaded.state_dict().keys() == recognizer.state_dict().keys()


# Configs

FIELDS: dict[str, tuple[str, Any]] = {
    "a file elsewhere": ("weights.file", "../../../../etc/passwd"),
    "an absolute file": ("weights.file", "/etc/passwd"),
    "a file of another name": ("weights.file", "pytorch_model.bin"),
    "a hash that is none": ("weights.sha256", "../" * 20),
    "a size below zero": ("weights.bytes", -1),
    "a size that is true": ("weights.bytes", True),
    "a model that is a module": ("model", "os:system"),
    "a model that is a path": ("model", "../../evil"),
    "a model that is code": ("model", "__import__('os').system('id')"),
    "a model with escapes": ("model", "\x1b[2Jattacked"),
    "a model with a tag": ("model", "<script>alert(1)</script>"),
    "a model of 10,000 characters": ("model", "a" * 10_000),
    "a model of parts that are code": ("model", "os.system+linear+supervised"),
    "an option that is code": ("model", "attacked,backbone.grid=__import__('os')"),
    "a model that is no text": ("model", ["attacked"]),
    "a preset that is a path": ("preset", "../small"),
    "a preset that is an object": ("preset", {}),
    "another aligner": ("preprocessing", {"aligner": "evil:run", "size": 16}),
    "other options": ("options", {"backbone": {"target": "os:system"}, "head": {}, "auxiliary": {}, "strategy": {}}),
    "options that are a list": ("options", []),
    "another view": ("views", {"train": {}, "test": {"flow": [{"kind": "os", "options": {}}]}, "reduce": "mean"}),
    "another task": ("task", "eval"),
    "one label": ("labels", ["a"]),
    "labels with escapes": ("labels", ["\x1b]0;owned\x07", "b", "c"]),
    "labels with an override of direction": ("labels", ["\u202egniht", "b", "c"]),
    "labels that are numbers": ("labels", [1, 2, 3]),
    "a million labels": ("labels", [str(n) for n in range(200)]),
    "labels of another number": ("labels", ["a", "b"]),
    "subjects that are a text": ("trained_on", {"subjects": "toy:s1"}),
    "other labels of the same number": ("labels", ["surprise", "positive", "negative"]),
    "other people": ("trained_on", {"data": "toy", "manifest_hash": "0", "subjects": ["nobody:1"]}),
    "another head": ("parts", {"backbone": "flow-grid", "head": "mlp", "auxiliary": [], "strategy": "supervised"}),
    "no parts": ("parts", None),
    "no trained_on": ("trained_on", None),
    "another preset": ("preset", "huge"),
    "labels of one name": ("labels", ["a", "a", "b"]),
    "another format": ("format", 2),
    "a format that is a text": ("format", "1; import os"),
    "plugins that are a list": ("plugins", ["merzoo"]),
    "plugins with escapes": ("plugins", {"\x1b[31m": "1"}),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_config_that_lies_is_refused(folder: Path, refused: Refused, case: str) -> None:
    edit(folder, *FIELDS[case])
    refused(lambda: load(folder))


BOMBS = {
    "a deep nest": b'{"format":1,"labels":' + b"[" * 200_000,
    "a long number": b'{"format":' + b"9" * 100_000 + b"}",
    "an infinite number": b'{"format":1e999}',
    "not a number": b'{"format":NaN}',
    "two megabytes": b" " * 2**21 + b"{}",
    "compressed": gzip.compress(b"{}" * 1000),
    "no text": b"\xff\xfe{}",
    "a lone surrogate": b'{"format":1,"model":"\\ud800"}',
    "a list": b"[]",
    "nothing": b"",
    "a page": b"<!doctype html><html><script>alert(1)</script></html>",
    "a pickle": b"\x80\x04\x95",
    "YAML that makes an object": b"!!python/object/apply:os.system ['id']",
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_config_that_is_a_bomb_is_refused(folder: Path, refused: Refused, case: str) -> None:
    (folder / CONFIG).write_bytes(BOMBS[case])
    refused(lambda: load(folder), CONFIG)


# Links, devices, and files that are not what was hashed


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("place", ["/dev/zero", "/etc/passwd", ".", "loop"])
def test_a_link_to_a_device_a_secret_a_folder_or_itself_is_refused_and_shows_nothing(folder: Path, refused: Refused, name: str, place: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(name if place == "loop" else place)
    assert "root:" not in refused(lambda: load(folder))


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_pipe_does_not_hang(folder: Path, refused: Refused, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    unhang = threading.Timer(20, lambda: (folder / name).open("wb").close())
    unhang.start()
    refused(lambda: load(folder))
    assert unhang.is_alive()
    unhang.cancel()


def test_a_file_larger_than_was_published_is_refused_before_it_is_read(folder: Path, refused: Refused) -> None:
    with (folder / WEIGHTS).open("r+b") as file:
        file.truncate(2**40)  # sparse
    refused(lambda: load(folder), "bytes")


def test_a_file_that_is_changed_behind_its_date_is_hashed_again(tmp_path: Path) -> None:
    """The time of its content can be set back by anybody who may write it, that of its inode cannot."""
    path = tmp_path / "large"
    path.write_bytes(b"a" * 2**21)
    os.utime(path, (1, 1))
    first = sha256(path)
    with path.open("r+b") as file:
        file.write(b"b")
    os.utime(path, (1, 1))
    assert sha256(path) != first


def test_a_digest_that_somebody_else_may_have_written_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("merzoo.digests.SETTLED", 0.0)
    path = tmp_path / "large"
    path.write_bytes(b"a" * 2**21)
    real = sha256(path)
    (memory,) = (tmp_path / "cache" / "digests").iterdir()
    forged = json.loads(memory.read_text()) | {"sha256": "f" * 64}
    memory.write_text(json.dumps(forged))
    assert sha256(path) == "f" * 64  # it is what is remembered …
    memory.parent.chmod(0o777)
    other = tmp_path / "other"
    other.write_bytes(b"o" * 2**21)
    for _ in range(2):
        assert sha256(path) == real and sha256(other) != real  # … and never again in a folder that was open to all once


def test_what_others_may_write_is_hashed_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write through mapped memory moves no time of a file whose page is dirty already."""
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("merzoo.digests.SETTLED", 0.0)
    path = tmp_path / "large"
    path.write_bytes(b"a" * 2**21)
    path.chmod(0o664)
    sha256(path)
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_remembered_digest_saves_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "large"
    path.write_bytes(b"a" * 2**21)
    found = sha256(path)
    assert not list((tmp_path / "cache").rglob("*.json"))  # just written: a change within the same tick of the clock could not be seen
    monkeypatch.setattr("merzoo.digests.SETTLED", 0.0)
    assert sha256(path) == found and len(list((tmp_path / "cache" / "digests").iterdir())) == 1
    monkeypatch.setattr("hashlib.file_digest", None)
    assert sha256(path) == found


# Sizes


LIMITED = """
import resource, sys
import merzoo, merzoo.loading
from merzoo.errors import MerzooError
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    merzoo.load(sys.argv[1])
except MerzooError as error:
    print(error)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10  # MiB
    sys.exit(0 if grown < 400 else f"{grown:.0f} MiB were taken")
sys.exit("it loaded")
"""


GIANTS = [
    "miacnet,backbone.mlp_ratio=100000",
    "timm/vit_giant_patch14_224+linear+supervised",
    "timm/resnet18+linear+supervised,backbone.size=1000000",
    "flow-grid+mlp+supervised,head.hidden=100000000",
]


@pytest.mark.parametrize("model", GIANTS)
def test_a_config_that_asks_for_memory_gets_none(folder: Path, recognizer: Any, model: str) -> None:
    """Its header, parts, options and views are true to its name, so that nothing but the sizes speaks against it."""
    preset = "small" if model.startswith("miacnet") else "full"
    spec = registry().model(model)
    with torch.device("meta"):
        backbone: Backbone = make(registry().parts(spec)[0].load(), "it", spec.preset(preset).backbone)
    rewrite(folder, recognizer.saved(), model=model, preset=preset)
    for name, value in network_facts(spec, preset, backbone).items():
        edit(folder, name, value)
    done = subprocess.run([sys.executable, "-c", LIMITED, f"local-dir:{folder}"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and ("do not fit" in done.stdout or "too large" in done.stdout or "more than" in done.stdout), done


def test_a_million_tensors_make_one_short_line(folder: Path, refused: Refused, recognizer: Any) -> None:
    extra = {f"backbone.\x1b[31m{number}": torch.zeros(1) for number in range(5000)}
    rewrite(folder, {**recognizer.saved(), **extra})
    refused(lambda: load(folder), "extra key")


def test_tensors_do_not_change_with_the_file(folder: Path) -> None:
    """Neither what is written over it nor its end reaches the network."""
    loaded = load(folder)
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    tensors, _ = checked(folder / WEIGHTS, sha256(folder / WEIGHTS))
    kept = {name: value.clone() for name, value in tensors.items()}
    with (folder / WEIGHTS).open("r+b") as file:
        file.write(b"\xff" * (folder / WEIGHTS).stat().st_size)
    assert all(torch.equal(tensors[name], value) for name, value in kept.items())
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in before.items())


# Names of repositories, and what may run

FILE = '{"file":"weights"}'
OPENS = ["checkpoint_path=weights", "checkpoint_path=weights.bin", f"pretrained_cfg={FILE}", f"pretrained_cfg_overlay={FILE}", "cache_dir=weights"]


@pytest.mark.parametrize("option", OPENS)
def test_no_option_in_a_model_s_name_opens_a_file(
    folder: Path, refused: Refused, recognizer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    """timm has options that unpickle what they name; here they are refused, and the pickle beside the config stays closed."""
    for name in ("weights", "weights.bin"):
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    monkeypatch.chdir(folder)
    rewrite(folder, recognizer.saved(), model=f"timm/resnet18+linear+supervised,backbone.{option}", preset="full")
    refused(lambda: load(folder))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("options", [{"checkpoint_path": "weights"}, {"pretrained_cfg": {"file": "x"}}, {"block": "os.system"}, {"layers": [20000, 1, 1, 1]}])
def test_timm_s_options_are_numbers_and_flags(refused: Refused, options: dict[str, Any]) -> None:
    refused(lambda: merzoo.build(("timm/resnet18", options), labels=["a", "b"]), "timm backbone")


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


NAMES = ["../../etc", "org/repo/../../x", "org/..", "/etc/passwd", "org/repo@../../x", "org/repo@", "org/repo@a\nb", "org/\x1b[2J", "o g/repo", "repo", "", "@"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_repository_is_refused_before_anything_is_asked(refused: Refused, name: str) -> None:
    refused(lambda: parse(f"hf-hub:{name}"), "hf-hub:org/repo")


WATCHED = """
import json, os, sys
import merzoo, merzoo.loading, merzoo.builtin.timm_adaptor
from attacked import SPEC
from merzoo.entries import Register
from merzoo.errors import MerzooError
from merzoo.registry import registry
register = Register("tests-of-attacks")
register.model(SPEC)
registry().add(register)
seen = []
EVENTS = {"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen"}
def hook(event, args):
    if event in EVENTS:
        seen.append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and not str(args[0]).startswith(os.environ["MERZOO_CACHE"]):
        seen.append(f"write {args[0]}")
    elif event == "import" and str(args[0]).startswith(("evil", "payload")):
        seen.append(f"import {args[0]}")
sys.addaudithook(hook)
results = {}
for folder in sys.argv[1:]:
    try:
        merzoo.load(f"local-dir:{folder}")
        results[folder] = "loaded"
    except MerzooError as error:
        results[folder] = str(error)
print(json.dumps({"results": results, "seen": seen}))
"""


def test_nothing_is_run_imported_written_or_called_while_hostile_folders_are_loaded(folder: Path, tmp_path: Path) -> None:
    """The interpreter's own audit says so, with modules at hand that would be run if they were imported."""
    import shutil

    payload = tmp_path / "path"
    payload.mkdir()
    for name in ("evil", "payload", "modeling_attacked"):
        (payload / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    folders = []
    cases = [*FIELDS.values(), ("model", "evil:run"), ("model", "payload"), ("auto_map", {"AutoModel": "modeling_attacked.Model"})]
    for number, (path, value) in enumerate(cases):
        copy = tmp_path / f"hostile{number}"
        shutil.copytree(folder, copy)
        edit(copy, path, value)
        (copy / "modeling_attacked.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
        (copy / "pytorch_model.bin").write_bytes(b"\x80\x04\x95")
        folders.append(str(copy))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(payload), str(Path(__file__).parent)))}
    done = subprocess.run([sys.executable, "-c", WATCHED, *folders], env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=folders[0])
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seen"] == [] and not (tmp_path / "mark").exists()
    assert [one for one in folders if told["results"][one] == "loaded"] == folders[-1:]  # code beside a good model is not looked at
