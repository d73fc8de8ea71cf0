"""What strangers' plugins can do wrong, and what it costs: one line that names the distribution, never a listing nor another model."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import re
import subprocess
import venv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merzoo.compose import lender
from merzoo.describe import describe
from merzoo.errors import MerzooError
from merzoo.installed import BUILTIN, Found, misfit
from merzoo.plugins import load_registry
from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, View, WeightsSpec
from merzoo.wellformed import fault

ROOT = Path(__file__).resolve().parents[1]
GOOD = """
from merzoo.specs import ModelSpec, Paper, Preset, Preprocessing, View, WeightsSpec

def merzoo_register(register):
    register.backbone("{name}-net", "{name}_heavy:Net", provides=("pooled",))
    register.model(ModelSpec("{name}-model", "a model", backbone="{name}-net"))
"""
HEAVY = "import pathlib, time\npathlib.Path(__file__).with_suffix('.ran').touch()\n"


def good(name, *lines):
    return GOOD.replace("{name}", name) + "".join(f"    {line}\n" for line in lines)


def metadata(site, name, *lines, version="1.2"):
    """Give an installed distribution of the site another METADATA."""
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines, "", "Long description.", "", "Requires-Dist: merzoo>=99"])
    (site.root / f"{name.replace('-', '_')}-1.2.dist-info" / "METADATA").write_text(text, encoding="utf-8")


def records(site, **environment):
    done = site.merzoo("plugins", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {record["name"]: record for record in json.loads(done.stdout)}


MODEL = 'register.model(ModelSpec("odd-other", "a model", {}))'
ODD = {
    "raises": "raise RuntimeError('no')",
    "raises what is no Exception": "class Stop(BaseException): pass\nraise Stop",
    "misspells the hook": "def merzoo_registers(register): pass",
    "claims a head of merzoo": good("odd", 'register.head("linear", "math:sqrt")'),
    "claims a member of merzoo's family": good("odd", 'register.backbone("timm/resnet18", "math:sqrt")'),
    "claims merzoo's family": good("odd", 'register.backbone_family("timm", "math:sqrt")'),
    "claims a view and a data set": good("odd", 'register.view("keyframes", "math:sqrt")', 'register.dataset("csv", "math:sqrt")'),
    "views are no mapping": good("odd", MODEL.format('backbone="odd-net", train_views=[View("keyframes")]')),
    "a view is a text": good("odd", MODEL.format('backbone="odd-net", test_views={"x": "keyframes"}')),
    "presets are a list": good("odd", MODEL.format('backbone="odd-net", presets=[Preset()]')),
    "no presets": good("odd", MODEL.format('backbone="odd-net", presets={}')),
    "weights are a mapping": good("odd", MODEL.format('backbone="odd-net", weights=({"tag": "x"},)')),
    "a backbone is none": good("odd", MODEL.format("backbone=None")),
    "a paper is a text": good("odd", MODEL.format('backbone="odd-net", paper="arXiv"')),
    "a card of weights is damaged": good("odd", 'WeightsSpec("x", "full", "a", "0", labels="abc")'),
    "warnings become errors": good("odd", "import warnings", "warnings.simplefilter('error')", 'register.head("X", "y")'),
}


@pytest.mark.parametrize("source", ODD.values(), ids=ODD)
def test_an_odd_plugin_costs_one_line_that_names_its_distribution(site, source):
    site.distribution("merzoo-odd-shop", module="odd", source=source, point="odd")
    site.distribution("pear", source=good("pear"))
    for arguments in (["list"], ["info", "pear-model"]):
        done = site.merzoo(*arguments)
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("merzoo: warning: plugin odd (distribution merzoo-odd-shop) ") and line.endswith("see 'merzoo plugins'")
    done = site.merzoo("plugins")
    assert done.returncode == 0 and any(line.startswith("odd (merzoo-odd-shop): ") for line in done.stdout.splitlines())


def test_what_comes_with_merzoo_stays_merzoos(site):
    site.distribution("odd", source=good("odd", 'register.head("linear", "odd:Thief")', 'register.view("keyframes", "odd:Thief")'))
    done = site.python(
        "from merzoo.registry import registry\n"
        "for kind, name in (('head', 'linear'), ('view', 'keyframes'), ('backbone', 'timm/resnet18')): print(registry().get(kind, name).plugin)"
    )
    assert done.stdout.split() == ["merzoo-builtin"] * 3, done.stderr
    found = records(site)["odd"]
    assert found["status"] == "warning" and "head 'linear' refused: it belongs to merzoo itself" in found["error"]
    assert found["registers"] == {"backbone": ["odd-net"], "model": ["odd-model"]}


def test_a_heavy_module_is_imported_when_its_part_is_built_and_not_before(site):
    site.distribution("merzoo-pear", module="pear", source=good("pear"), point="pear")
    (site.root / "pear_heavy.py").write_text(HEAVY + "time.sleep(10)\n", encoding="utf-8")
    for arguments in (["list"], ["info", "pear-model"], ["plugins"], ["plugins", "pear"]):
        assert site.merzoo(*arguments).returncode == 0
    assert not (site.root / "pear_heavy.ran").exists()
    (site.root / "pear_heavy.py").write_text(HEAVY + "raise SystemExit(0)\n", encoding="utf-8")
    line = site.python("import merzoo; merzoo.load('pear-model', weights=None, labels=['a', 'b'])").stderr.splitlines()[-1]
    assert "of plugin pear (distribution merzoo-pear): pear_heavy:Net cannot be loaded (SystemExit: 0 (pear_heavy.py:3))" in line
    assert (site.root / "pear_heavy.ran").exists()


def test_a_plugin_that_keeps_everybody_waiting_is_noted(site):
    site.distribution("merzoo-pear", module="pear", source="import time\ntime.sleep(0.3)\n" + good("pear"), point="pear")
    done = site.merzoo("plugins")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("pear (merzoo-pear): took ")]
    assert "every command waits" in line and done.stderr == ""
    facts = json.loads(site.merzoo("plugins", "merzoo-pear", "--json").stdout)
    assert facts["status"] == "ok" and facts["load_ms"] >= 300 and "every command waits" in facts["note"]


def test_a_stranger_who_claims_a_name_breaks_nobodys_model(site, one_line):
    theft = ('register.backbone("apple-net", "math:sqrt")', 'register.model(ModelSpec("apple-model", "theirs", backbone="apple-net"))')
    other = 'register.model(ModelSpec("apple-large", "a model", backbone="apple-net"))'
    site.distribution("merzoo-apple", module="apple", source=good("apple", other), point="apple")
    site.distribution("merzoo-thief", module="thief", source=good("thief", *theft), point="thief")
    parts = json.loads(site.merzoo("info", "apple-large", "--json").stdout)["parts"]
    assert (parts[0]["name"], parts[0]["plugin"]) == ("apple-net", "apple")
    assert site.merzoo("info", "thief-model").returncode == 0
    line = one_line(site.merzoo("info", "apple-model"))
    remedy = "; block one of them, as in MERZOO_PLUGINS=-apple (or -thief)"  # who is the thief is not for us to say
    assert line.endswith(f"apple (distribution merzoo-apple) and thief (distribution merzoo-thief){remedy}")
    assert site.merzoo("info", "apple-model", MERZOO_PLUGINS="-thief").returncode == 0
    found = records(site)
    assert found["apple"]["status"] == found["thief"]["status"] == "warning"
    assert "model 'apple-model': also claimed by thief (distribution merzoo-thief)" in found["apple"]["error"]
    assert "apple (distribution merzoo-apple)" in found["thief"]["error"] and all(found[name]["error"].endswith(remedy) for name in ("apple", "thief"))


def test_a_name_of_a_plugin_that_is_not_loaded_is_told_so(site, one_line):
    for name in ("pear", "plum", "quince", "sloe"):
        site.distribution(f"merzoo-{name}", module=name, source=good(name), point=name)
    blocked = {"MERZOO_PLUGINS": "-pear"}
    clause = "; plugins not loaded: pear is blocked by MERZOO_PLUGINS: see `merzoo plugins`)"
    for arguments in (["info", "pear-model"], ["info", "pear-model", "--kind", "model"], ["train", "pear-model", "--data", "synthetic:tiny", "--out", "run"]):
        assert one_line(site.merzoo(*arguments, **blocked)).endswith(clause)
    assert "not loaded" not in one_line(site.merzoo("info", "paer-model"))
    told = "plum failed, quince is incompatible, sloe is blocked by MERZOO_PLUGINS: see"
    (site.root / "plum.py").write_text("1 / 0", encoding="utf-8")
    metadata(site, "merzoo-quince", "Requires-Dist: merzoo>=9")
    assert f"not loaded: {told}" in site.merzoo("info", "apple", MERZOO_PLUGINS="-sloe").stderr.splitlines()[-1]
    many = one_line(site.merzoo("info", "apple", MERZOO_PLUGINS="merzoo-baselines"))
    assert re.search(r"not loaded: (\S+ is blocked by MERZOO_PLUGINS(, )?){3} and \d+ more: see", many)


def test_an_error_of_a_plugin_is_told_with_its_place_and_once(site):
    site.distribution("merzoo-pear", module="pear", source="x = [\n" + good("pear"), point="pear")
    (site.root / "merzoo_plum").mkdir()
    (site.root / "merzoo_plum" / "__init__.py").touch()
    long = f"from merzoo.specs import ModelSpec\n\ndef helper():\n    raise ValueError('x' * 500)\nhelper()\n{good('plum')}"
    site.distribution("merzoo-plum", module="unused", entry_points="[merzoo]\nplum = merzoo_plum.plugin\n")
    (site.root / "merzoo_plum" / "plugin.py").write_text(long, encoding="utf-8")
    found = records(site)
    assert found["pear"]["error"] == "SyntaxError: '[' was never closed (pear.py:1); mend the code there"
    assert re.fullmatch(r"ValueError: x{200,}… \(merzoo_plum/plugin\.py:4\); mend the code there", found["plum"]["error"])
    assert len(found["plum"]["error"]) == 300
    for arguments in ([], ["pear"], ["--json"]):
        done = site.merzoo("plugins", *arguments)
        assert (done.returncode, done.stderr, done.stdout.count("never closed")) == (0, "", 1)
    assert "plugin pear (distribution merzoo-pear) failed: " in site.merzoo("list").stderr


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        ("merzoo", ""),
        ("Merzoo >= 0.0.1", ""),
        ("merzoo[flow] (>=9)", "needs merzoo>=9, this is 0.5.0; upgrade merzoo or install another version of pear"),
        ("merzoo>=9", "needs merzoo>=9, this is 0.5.0; upgrade merzoo or install another version of pear"),
        ("MERZOO<0.5,>=0.1", "needs merzoo<0.5,>=0.1, this is 0.5.0; install such a merzoo or install another version of pear"),
        ("merzoo==1.*", "needs merzoo==1.*, this is 0.5.0; upgrade merzoo or"),
        ("merzoo~=0.4", ""),
        ("merzoo~=0.4.0", "needs merzoo~=0.4.0, this is 0.5.0; install such a merzoo or install"),
        ("merzoo>=9; python_version < '3'", ""),
        ("merzoo>=9; extra == 'new'", ""),
        ("merzoo>=9; python_version > '3'", "needs merzoo>=9"),
        ("merzoo-extras>=9", ""),
        ("merzoo @ https://example.org/merzoo.whl", ""),
    ],
)
def test_which_merzoo_a_plugin_needs(requires, why):
    told = misfit(Found("pear", "pear", "1", object, requires=("torch>=99", requires)), "0.5.0")
    assert told.startswith(why) and bool(told) is bool(why)


def test_a_release_candidate_of_merzoo_counts():
    assert misfit(Found("pear", "pear", "1", object, requires=("merzoo>=0.4",)), "0.5.0rc1") == ""
    assert "needs merzoo>=0.5" in misfit(Found("pear", "pear", "1", object, requires=("merzoo>=0.5",)), "0.5.0rc1")


def test_a_plugin_for_another_merzoo_is_not_loaded(site):
    site.distribution("merzoo-pear", module="pear", source="import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n" + good("pear"), point="pear")
    metadata(site, "merzoo-pear", "Requires-Dist: torch", "Requires-Dist: merzoo>=9")
    found = records(site)["pear"]
    assert (found["status"], found["registers"]) == ("incompatible", {})
    assert re.fullmatch(r"needs merzoo>=9, this is [\d.]+; upgrade merzoo or install another version of merzoo-pear", found["error"])
    done = site.merzoo("list")
    assert "pear-model" not in done.stdout and done.stderr.startswith("merzoo: warning: plugin pear (distribution merzoo-pear) not loaded: needs merzoo>=9")
    assert not (site.root / "pear.ran").exists()
    assert site.merzoo("list", MERZOO_PLUGINS="-pear").stderr == ""
    metadata(site, "merzoo-pear", "Requires-Dist: merzoo>=nonsense")
    found = records(site)["pear"]
    assert found["status"] == "warning" and "requirement of its distribution cannot be read" in found["error"] and found["registers"]


def test_hostile_and_damaged_metadata(site):
    for name in ("one", "two"):
        site.distribution(name, source=good(name))
        (site.root / f"{name}-1.2.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    site.distribution("three", source=good("three"))
    metadata(site, "three", version="\x1b[2J1")
    (site.root / "three-1.2.dist-info" / "METADATA").write_text("Name: \x1b]0;evil\x07\n\u202ename\nVersion: 1\x1b[31m\n", encoding="utf-8")
    found = records(site)
    assert {name: found[name]["distribution"] for name in ("one", "two")} == {"one": "one", "two": "two"}
    done = site.merzoo("plugins")
    assert "\x1b" not in done.stdout + done.stderr and r"\x1b]0;evil\x07" in done.stdout
    assert "\x1b" not in site.merzoo("plugins", "--requirements").stdout


def test_one_plugin_in_full(site, one_line):
    site.distribution("merzoo-pear", module="pear", source=good("pear"), point="pear")
    for name in ("pear", "merzoo-pear", "Merzoo_Pear"):
        text = site.merzoo("plugins", name).stdout
        assert text.startswith("pear · plugin of the distribution merzoo-pear 1.2\n  status      ok\n") and "pear-model" in text and "pear-net" in text
    assert "did you mean pear?" in one_line(site.merzoo("plugins", "paer"))


COMMIT = "a" * 40
ORIGINS = {
    "an index": (None, "pear==1.2"),
    "an editable folder": ({"url": "file:///home/a/pear", "dir_info": {"editable": True}}, "-e /home/a/pear"),
    "an editable folder with spaces": ({"url": "file:///home/a%20b/pear%23", "dir_info": {"editable": True}}, "-e file:///home/a%20b/pear%23"),
    "an editable folder with a variable": ({"url": "file:///$%7BHOME%7D/pear", "dir_info": {"editable": True}}, "-e file:///%24%7BHOME%7D/pear"),
    "a folder": ({"url": "file:///home/a/pear", "dir_info": {}}, "pear @ file:///home/a/pear"),
    "a wheel": (
        {"url": "https://example.org/pear.whl", "archive_info": {"hash": "sha256=" + "b" * 64, "hashes": {"sha256": "b" * 64}}},
        f"pear @ https://example.org/pear.whl#sha256={'b' * 64}",
    ),
    "a repository": (
        {"url": "https://user:secret@example.org/a/pear.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}, "subdirectory": "sub"},
        f"pear @ git+https://example.org/a/pear.git@{COMMIT}#subdirectory=sub",
    ),
    "an address that is signed": ({"url": "https://example.org/pear.whl?token=SECRET", "archive_info": {}}, "pear @ https://example.org/pear.whl"),
    "a repository by ssh": (
        {"url": "ssh://git@example.org/a/pear.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        f"pear @ git+ssh://git@example.org/a/pear.git@{COMMIT}",
    ),
    "an option that is smuggled in": ({"url": "file:///x\n--index-url=http://evil", "dir_info": {"editable": True}}, None),
    "a second line": ({"url": "https://example.org/x\n--pre", "archive_info": {}}, None),
    "a commit with a line": ({"url": "https://example.org/x", "vcs_info": {"vcs": "git", "commit_id": "a\n--pre"}}, None),
    "no text": ({"url": ["x"]}, "pear==1.2"),
    "no object": ([1], "pear==1.2"),
}


@pytest.mark.parametrize(("origin", "line"), ORIGINS.values(), ids=ORIGINS)
def test_a_line_to_install_a_plugin_again(site, monkeypatch, origin, line):
    from merzoo.reinstall import requirements

    site.distribution("pear", source="raise RuntimeError('nothing is loaded for this')")
    if origin is not None:
        (site.root / "pear-1.2.dist-info" / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site.root))
    (found,) = [told for told in requirements() if "pear" in told]
    assert found == line if line else re.fullmatch("# pear is left out: its direct_url.json cannot be read", found)


def test_requirements_are_lines_alone(site, one_line):
    site.distribution("pear", source="raise RuntimeError('broken plugins are installed again too')")
    site.distribution("evil", source=good("evil"))
    metadata(site, "evil", version="1.2 --index-url http://evil")
    done = site.merzoo("plugins", "--requirements")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert "pear==1.2" in lines and "# evil is left out: '1.2 --index-url http://evil' is no version" in lines
    assert re.match(r"-e |merzoo( @ |==)|# merzoo", lines[0])
    assert json.loads(site.merzoo("plugins", "--requirements", "--json").stdout) == lines
    assert "leave the name away" in one_line(site.merzoo("plugins", "pear", "--requirements"))


def _environment(folder):
    """A virtual environment that sees this one's packages, merzoo's metadata among them, without its editable installations."""
    venv.create(folder, symlinks=True)
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    below = {str(Path(spec.submodule_search_locations[0]).parent) for name in ("setuptools", "pluggy") if (spec := importlib.util.find_spec(name))}
    (site_packages / "shared.pth").write_text("\n".join(sorted(below)) + f"\n{ROOT}\n", encoding="utf-8")
    return folder / "bin" / "python"


def _run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_plugins_are_installed_again_by_pip(tmp_path):
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    projects = {"pear": tmp_path / "a folder" / "pear", "plum": tmp_path / "plum"}
    for name, project in projects.items():
        (project / f"merzoo_{name}").mkdir(parents=True)
        (project / f"merzoo_{name}" / "__init__.py").write_text(good(name), encoding="utf-8")
        (project / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "merzoo-{name}"\nversion = "0.3"\n[project.entry-points.merzoo]\n{name} = "merzoo_{name}"\n'
            f'[tool.setuptools]\npackages = ["merzoo_{name}"]\n',
            encoding="utf-8",
        )
    first, second = _environment(tmp_path / "first"), _environment(tmp_path / "second")
    _run(first, *pip, "-e", projects["pear"], projects["plum"])
    lines = [line for line in _run(first, "-m", "merzoo", "plugins", "--requirements").splitlines() if "pear" in line or "plum" in line]
    assert len(lines) == 2 and lines[0].startswith("-e file:///") and lines[1].startswith("merzoo-plum @ file:///")
    (tmp_path / "plugins.txt").write_text("\n".join(lines), encoding="utf-8")
    _run(second, *pip, "-r", tmp_path / "plugins.txt")
    assert set(lines) <= set(_run(second, "-m", "merzoo", "plugins", "--requirements").splitlines())
    models = {row["name"] for row in json.loads(_run(second, "-m", "merzoo", "list", "--json"))}
    assert {"pear-model", "plum-model"} <= models


def test_fifty_plugins(site, monkeypatch):
    spec = importlib.util.spec_from_file_location("plugins_benchmark", ROOT / "benchmarks" / "plugins.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.install(site.root, 50)
    done = site.python(
        "import sys\nfrom merzoo.cli import main\ncode = main(['list', '--json'])\n"
        "heavy = {'torch', 'numpy', 'cv2', 'pandas', 'huggingface_hub', 'rich'} | {f'stranger_{n}.network' for n in range(50)}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    assert done.stderr == "0 []\n"
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert all(rows[f"stranger-{number}"]["weights"] == ["small"] for number in range(50))
    assert {records(site)[f"stranger-{number}"]["status"] for number in (0, 49)} == {"ok"}


# --- specifications of any shape

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=3) | st.builds(object) | st.just(print),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2) | st.tuples(inner),
    max_leaves=4,
)


SOUND = ModelSpec(
    "pear",
    "a model",
    "pear-net",
    train_views={"pair": (View("keyframes", {"moments": ["start", "peak"]}), View("flow"))},
    test_views={"pair": (View("keyframes", {"nested": {"deep": [1, None]}}),)},
    presets={"full": Preset({"size": 8}, {"a": 1}, {"task": {"b": 2.0}}, {"epochs": 1}, Preprocessing(size=64)), "small": Preset()},
    weights=(WeightsSpec("w", "small", "package:x/y", "0" * 64, ("a", "b"), {"subjects": ["s"], "data": "d"}, "loso", {"uf1": 0.5}),),
    paper=Paper("A paper", "Somebody", 2024, "2401.1", (Reported("casme2", "loso", "uf1", 0.5, "Table 1"),)),
)


def places(value, way=()):
    """Every place inside a specification, as the steps that lead there."""
    yield way
    steps = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else ()
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, tuple | list) else steps
    for step in steps:
        inner = getattr(value, step) if dataclasses.is_dataclass(value) else value[step]
        yield from places(inner, (*way, step))


def changed(value, way, new):
    """The specification with something else at a place, past the checks of its classes."""
    if not way:
        return new
    step, *rest = way
    if dataclasses.is_dataclass(value):
        made = copy.copy(value)
        object.__setattr__(made, step, changed(getattr(value, step), rest, new))
        return made
    made = copy.copy(value) if isinstance(value, dict) else list(value)
    made[step] = changed(value[step], rest, new)
    return tuple(made) if isinstance(value, tuple) else made


specs = st.builds(changed, st.just(SOUND), st.sampled_from(list(places(SOUND))), anything)


def test_a_sound_specification_has_no_fault():
    assert fault(SOUND) == "" and fault(dataclasses.replace(SOUND, auxiliary=["a"], paper=None)) == ""


@settings(max_examples=200, deadline=None)
@given(specs)
@pytest.mark.filterwarnings("ignore::merzoo.errors.MerzooWarning")
def test_a_specification_of_any_shape_is_refused_or_does_no_harm(spec):
    from merzoo.cli.listing import _row, _text
    from merzoo.cli.output import _clean

    class Stranger:
        def merzoo_register(self, register):
            register.backbone("pear-net", "math:sqrt", provides=("pooled",))
            register.model(spec)

    zoo = load_registry([*_ours(), Found("stranger", "merzoo-stranger", "1", Stranger)], choice="")
    entries = zoo.entries("model")
    assert bool(entries) is not bool(fault(spec)) and zoo.records[-1].status == ("ok" if entries else "warning")
    json.dumps(_clean([_row(entry) for entry in entries]), allow_nan=False)
    assert zoo.near(None, "linaer") == ["linear"]
    assert describe(zoo, "linear")["kind"] == "head"
    lends = entries and entries[0].spec.backbone == "pear-net"
    assert lender(zoo, zoo.get("backbone", "pear-net")) is (entries[0].spec if lends else None)
    for entry in entries:
        try:
            facts = describe(zoo, entry.name, "model")
        except MerzooError:  # a view that is not registered
            continue
        json.dumps(_clean(facts), allow_nan=False, default=str)
        assert list(_text(facts))


def _ours():
    import merzoo.builtin

    return [Found(BUILTIN, "merzoo", "1", lambda: merzoo.builtin)]
