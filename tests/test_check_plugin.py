"""`merzoo check-plugin` finds what is wrong with a plugin, and says how to mend it: planted faults in the plugin that `merzoo new-plugin` writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from merzoo.errors import MerzooWarning, UnknownNameError
from merzoo.new_plugin import names_of, new_plugin
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.testing import paperwork
from merzoo.testing.outcomes import Outcome, outcome, outcomes
from merzoo.testing.plugin_checks import as_json, plugin_checks
from merzoo.weights import digest, write

Edits = dict[str, list[tuple[str, str]]]  # file: (what stands there, what shall)
REQUIRES = "Requires-Dist: merzoo>=0.1.0\n"


def install(root: Path, name: str, edits: Edits | None = None, requires: str = REQUIRES, readme: str | None = None) -> Path:
    """A new plugin with these edits in a folder on the path, as an installer leaves it; its package's folder."""
    names = names_of(name)
    made = new_plugin(name, root / "made")
    package = root / names["module"]
    shutil.move(made / names["module"], package)
    for file, changes in (edits or {}).items():
        text = (package / file).read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) >= 1, f"{file} holds no {old!r}"
            text = text.replace(old, new)
        (package / file).write_text(text, encoding="utf-8")
    info = root / f"{names['module']}-0.1.0.dist-info"
    info.mkdir()
    description = (made / "README.md").read_text(encoding="utf-8") if readme is None else readme
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {names['distribution']}\nVersion: 0.1.0\n{requires}\n{description}", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[merzoo]\n{name} = {names['module']}.plugin\n", encoding="utf-8")
    return package


class Here:
    """A folder on this process's path; the registry is made afresh after each installation."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch

    def install(self, name: str, *how: Any, **more: Any) -> Path:
        package = install(self.root, name, *how, **more)
        self.refresh()
        return package

    def refresh(self) -> None:
        self.patch.setattr("merzoo.registry._registry", None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Where plugins are installed that this process sees."""
    root = tmp_path / "here"
    root.mkdir()
    monkeypatch.syspath_prepend(root)
    yield Here(root, monkeypatch)
    for module in [module for module in sys.modules if (root / module.partition(".")[0]).exists()]:
        del sys.modules[module]


def answers(name: str, check: str) -> list[Outcome]:
    """What one check says of the plugin."""
    return [outcome(one) for one in plugin_checks(name)[1] if one.name == check]


NETWORK, PLUGIN = "network.py", "plugin.py"
AFTER_MAPS = "        maps = torch.cat([stream(seen) for stream in self.streams], 1)\n"
AFTER_DROPOUT = "        self.dropout = nn.Dropout(dropout)\n"


def after(line: str, more: str) -> tuple[str, str]:
    return line, f"{line}        {more}\n"


FAULTS: dict[str, tuple[str, Edits, str]] = {  # a name: (the check that must fail, the fault, what it says)
    "heavy-import": (
        "light",
        {PLUGIN: [("from pathlib import Path\n", "from pathlib import Path\n\nimport torch\n")]},
        r"plugin\.py line 7 imports torch.*; import it in",
    ),
    "heavy-by-detour": (
        "light",
        {PLUGIN: [("from merzoo.specs", "import merzoo.interfaces\nfrom merzoo.specs")]},
        r"plugin\.py line 8 imports torch .*; import it in the module",
    ),
    "misspelt-hook": (
        "hook",
        {PLUGIN: [("def merzoo_register", "def merzoo_regster")]},
        r"plugin\.merzoo_regster is not a hook; call it merzoo_register\(register\)",
    ),
    "no-hook": ("hook", {PLUGIN: [("def merzoo_register", "def register_all")]}, r"has no function merzoo_register\(register\); write it there"),
    "raises": ("loads", {PLUGIN: [("TRAINING = ", "1 / 0\nTRAINING = ")]}, r"ZeroDivisionError: division by zero \(merzoo_raises/plugin\.py:10\); mend"),
    "unclosed": ("loads", {PLUGIN: [("MODEL = ModelSpec(", "MODEL = ModelSpec((")]}, r"SyntaxError.* \(merzoo_unclosed/plugin\.py:\d+\); mend the code"),
    "no-library": ("loads", {PLUGIN: [("TRAINING = ", "import no_such_library\nTRAINING = ")]}, r"\.py:10\); install no_such_library, or declare it as a dep"),
    "no-such-field": ("loads", {PLUGIN: [('    summary="', '    sumary="')]}, r"'sumary'.* \(merzoo_no_such_field/plugin\.py:12\); see .*\.ModelSpec"),
    "no-such-word": ("loads", {PLUGIN: [('        summary="', '        sumary="')]}, r"'sumary'.* \(merzoo_no_such_word/plugin\.py:\d+\); see .*\.Register"),
    "no-network": ("target", {NETWORK: [("POOLED = 7", "POOLED = (7")]}, r"SyntaxError: '\(' was never closed \(merzoo_no_network/network\.py:12\)"),
    "no-such-target": (
        "target",
        {PLUGIN: [("network:", "netwerk:")]},
        r"netwerk:NoSuchTargetNetwork cannot be imported \(ModuleNotFoundError.*; correct the target in the hook",
    ),
    "no-backbone": ("target", {NETWORK: [("(Backbone)", "(nn.Module)")]}, r"is no Backbone; derive the class from merzoo\.interfaces\.Backbone"),
    "refused-name": (
        "accepted",
        {PLUGIN: [('backbone(\n        "refused-name"', 'backbone(\n        "Refused Name"')]},
        r"'Refused Name' refused: .*; mend the calls of register",
    ),
    "name-of-merzoo": (
        "accepted",
        {PLUGIN: [("    register.model(", '    register.head("linear", "math:sqrt")\n    register.model(')]},
        r"head 'linear' refused: .*belongs to merzoo",
    ),
    "name-of-another": (
        "names",
        {PLUGIN: [('    name="name-of-another"', '    name="ststnet"')]},
        r"model 'ststnet' is registered by merzoo-baselines too; give yours another name",
    ),
    "near-word": ("words", {PLUGIN: [('"pair-code"', '"pair-codes"')]}, r"'pair-codes' is no word of .*VOCABULARY; did you mean 'pair-code'\?"),
    "own-word": ("words", {PLUGIN: [('"pair-code"', '"whiskers"')]}, r"'whiskers' is a word of its own; say in the README what it means"),
    "others-word": ("words", {PLUGIN: [('"pair-code"', '"au-labels"')]}, r"it says it provides 'au-labels', which a dataset does; take it out"),
    "need-of-nobody": (
        "words",
        {PLUGIN: [("        provides=", '        needs=("flow",),\n        provides=')]},
        r"it needs 'flow', which no installed part provides; register one",
    ),
    "no-preset": ("is_described", {PLUGIN: [('"small": Preset', '"tiny": Preset')]}, r"it has no preset 'small'; give its ModelSpec full .* and small"),
    "no-pair-code": (
        "provides_what_it_says",
        {NETWORK: [(', extras={"pair-code": maps}', "")]},
        r"says it provides pair-code, and gives none; put it into Features\.extras",
    ),
    "running-statistics": (
        "provides_what_it_says",
        {NETWORK: [("nn.GroupNorm(1, width)", "nn.BatchNorm2d(width)")]},
        r"keeps streams\.0\.1\.running_mean; use group norm, or take",
    ),
    "no-gradient": (
        "trains_every_parameter",
        {NETWORK: [after(AFTER_DROPOUT, "self.spare = nn.Linear(2, 2)")]},
        r"no gradient reaches backbone\.spare\.weight.*; use it in forward, or delete it",
    ),
    "numpy-random": (
        "repeats_under_a_seed",
        {NETWORK: [("import torch\n", "import numpy as np\nimport torch\n"), after(AFTER_MAPS, "maps = maps * np.random.default_rng().uniform(0.5, 2)")]},
        r"ends in other bits .*; draw from the generators that are given or torch's global one, not from random or numpy",
    ),
    "batch-mean": (
        "predicts_each_clip_alone",
        {NETWORK: [after(AFTER_MAPS, "maps = maps - maps.mean(0)")]},
        r"with the clips beside it; take no statistics over a batch",
    ),
    "state-not-saved": (
        "survives_safetensors",
        {NETWORK: [after(AFTER_DROPOUT, "self.seen = 0.0"), after(AFTER_MAPS, "self.seen += self.training\n        maps = maps * (1 + self.seen)")]},
        r"gives other logits after it was saved and loaded; what it learns must be parameters or persistent buffers",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_told_how_to_mend(here: Here, name: str, recwarn: pytest.WarningsRecorder) -> None:
    check, edits, said = FAULTS[name]
    here.install(name, edits)
    found = [one for one in answers(name, check) if one.status != "pass"]
    assert [one.status for one in found] == ["fail"], found
    assert re.search(said, found[0].text) and found[0].text.isprintable(), found[0].text


def test_a_new_plugin_passes_every_check_that_finds_a_fault(here: Here) -> None:
    here.install("sound")
    subject, checks = plugin_checks("merzoo-sound")  # by its distribution
    found = [*outcomes(checks)]
    assert {one.status for one in found if one.name != "readme"} == {"pass"}, [one for one in found if one.status != "pass"]
    assert as_json(subject, found)["passed"] and {check for check, *_ in FAULTS.values()} <= {one.name for one in found}


def test_what_hangs_on_another_fault_is_skipped_and_not_told_twice(here: Here) -> None:
    here.install("gone", {PLUGIN: [("network:", "netwerk:")]})
    found = [*outcomes(plugin_checks("gone")[1])]
    assert [one.name for one in found if one.status == "fail"] == ["target"]
    assert [one.text for one in found if one.name == "forward_and_backward"] == ["one of its parts is not there; that comes first"]


RETURNS = '        return Features(pooled={"flow": self.dropout(maps.flatten(1))}, maps={"flow": maps}, extras={"pair-code": maps})\n'
UNBUILT: dict[str, tuple[list[tuple[str, str]], str]] = {  # a name: (the fault in network.py, what it says)
    "tensor": ([(RETURNS, "        return maps\n")], r"must return merzoo\.interfaces\.Features, as in `return Features\(pooled=\{\"…\": x\}\)`, not a Tensor"),
    "bare": ([(RETURNS, "        return Features(maps)\n")], r"must return .*Features\(pooled=\{\"…\": x\}\)`; its pooled is no mapping of names to tensors$"),
    "boom": (
        [(RETURNS, '        raise KeyError("flw")\n')],
        r"BoomNetwork cannot take its inputs flow \[2, 112, 112\]: KeyError: 'flw' \(merzoo_boom/network\.py:37\); "
        r"mend the forward of the plugin's BoomNetwork, or give other options than size=112, width=8$",
    ),
    "viewless": (
        [('        self.views = {"flow": View("flow")}\n', "")],
        r'^backbone ViewlessNetwork of merzoo_viewless\.network does not say which views .* set self\.views = \{"flow": View\("flow"\)\}',
    ),
    "inputless": (
        [('        self.inputs = {"flow": (2, size, size)}\n', "")],
        r'^backbone InputlessNetwork of merzoo_inputless\.network does not say which inputs .* set self\.inputs = \{"flow": \(2, 112, 112\)\}',
    ),
    "shapeless": ([('{"flow": (2, size, size)}', '{"flow": size}')], r"has the inputs \{'flow': 112\}, which are no shapes by their names; in its __init__"),
}


@pytest.mark.parametrize("name", UNBUILT)
def test_a_network_that_cannot_be_built_is_told_once(here: Here, name: str) -> None:
    edits, said = UNBUILT[name]
    here.install(name, {NETWORK: edits})
    found = [one for one in outcomes(plugin_checks(name)[1]) if one.subject == f"model {name}"]
    (failed,) = [one for one in found if one.status == "fail"]
    assert failed.name == "builds_on_meta" and re.search(said, failed.text), failed.text
    assert [one.name for one in found if one.status == "pass"] == ["is_described"]
    assert {one.text for one in found if one.status == "skip"} == {"it cannot be built; builds_on_meta tells why, and comes first"}


@pytest.mark.parametrize("name", ["tensor", "viewless", "inputless"])
def test_other_commands_say_the_same_of_it(site, one_line: Callable[..., str], name: str) -> None:
    edits, said = UNBUILT[name]
    install(site.root, name, {NETWORK: edits})
    line = one_line(site.merzoo("evaluate", name, "--preset", "small", "--data", "synthetic:tiny", "--out", "run"))
    assert re.search(said, line.removeprefix("merzoo: ")), line


def test_an_error_in_a_check_is_told_with_its_place(here: Here) -> None:
    here.install("late-boom", {NETWORK: [after(AFTER_MAPS, 'assert not self.training, "no"')]})
    (found,) = answers("late-boom", "forward_and_backward")
    assert re.match(r"AssertionError: no \(merzoo_late_boom/network\.py:37\); mend the code that raises it", found.text), found.text


def test_what_merzoo_does_not_load_is_told_once(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(name: str) -> list[str]:
        here.refresh()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MerzooWarning)
            return [f"{one.name}: {one.text}" for one in outcomes(plugin_checks(name)[1]) if one.status == "fail"]

    here.install("late", requires="Requires-Dist: merzoo>=99\n")
    assert [line for line in failed("late") if re.match(r"loads: .*merzoo>=99.*; ", line)] == failed("late")
    here.install("shut")
    monkeypatch.setenv("MERZOO_PLUGINS", "-shut")
    assert failed("shut") == ["loads: MERZOO_PLUGINS=-shut blocks shut; unset it"]
    monkeypatch.delenv("MERZOO_PLUGINS")
    shutil.copytree(here.root / "merzoo_shut-0.1.0.dist-info", here.root / "copy_of_shut-0.1.0.dist-info")
    (here.root / "copy_of_shut-0.1.0.dist-info" / "METADATA").write_text(f"Name: copy-of-shut\nVersion: 0.1.0\n{REQUIRES}\n", encoding="utf-8")
    assert failed("shut") == []  # merzoo-shut keeps the name that it is called by
    (said,) = failed("shut@copy-of-shut")
    assert re.match(r"loads: the plugin name shut belongs to the distribution merzoo-shut, .*; uninstall copy-of-shut$", said)


def test_what_a_network_prints_stays_out_of_the_answers(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    here.install("loud", {NETWORK: [after(AFTER_DROPOUT, 'print("hello")')]})
    (found,) = answers("loud", "builds_on_meta")
    shown = capsys.readouterr()
    assert found.status == "pass" and shown.out == "" and "hello" in shown.err


# What metadata say

PAPER = [("    paper=None,", '    paper=Paper("Title", "Authors", 2020),'), ("import ModelSpec", "import ModelSpec, Paper")]
TABLE = "## Fidelity\n\n| | the paper says | our choice |\n|---|---|---|\n| input | flow | the same |\n"


@pytest.mark.parametrize(
    ("check", "requires", "readme", "said"),
    [
        ("requires", "Requires-Dist: torch\n", "", "do not require merzoo; add dependencies"),
        ("requires", "Requires-Dist: merzoo; extra == 'test'\n", "", "do not require merzoo; add dependencies"),
        ("requires", "Requires-Dist: merzoo-ma2mi\n", "", "do not require merzoo; add dependencies"),
        ("requires", "Requires-Dist: Merzoo (>=0.1)\n", "", ""),
        ("readme", REQUIRES, "", "hold no README; add readme ="),
        ("readme", REQUIRES, "# merzoo-paper\n\nThe paper says | what |\n", "no fidelity table; add one"),
        ("readme", REQUIRES, None, "has 4 rows with 'to fill in'; write what the paper says there"),
        ("readme", REQUIRES, TABLE, ""),
    ],
)
def test_metadata_are_read(here: Here, check: str, requires: str, readme: str | None, said: str) -> None:
    here.install("paper", {PLUGIN: PAPER}, requires, readme)
    (found,) = answers("paper", check)
    assert found.status == ("fail" if said else "pass") and said in found.text, found


def test_the_readme_of_a_plugin_that_is_edited_is_the_one_that_stands_there(here: Here, tmp_path: Path) -> None:
    here.install("edited", {PLUGIN: PAPER}, readme="old")
    (tmp_path / "a checkout").mkdir()
    (tmp_path / "a checkout" / "README.md").write_text(TABLE, encoding="utf-8")
    origin = {"url": (tmp_path / "a checkout").as_uri(), "dir_info": {"editable": True}}
    (here.root / "merzoo_edited-0.1.0.dist-info" / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    assert [one.status for one in answers("edited", "readme")] == ["pass"]


# Weights that it ships


def ship(package: Path, model: str, **changes: Any) -> None:
    """Weights of the network as it is written, with their card and log, as `python -m merzoo.embed` leaves them."""
    folder, labels = package / "weights", ("a", "b")
    folder.mkdir()
    file = folder / f"{model}-small.safetensors"
    torch.manual_seed(0)
    write(file, assemble(registry().model("sound"), "small", labels).saved(), {})
    (folder / f"{model}-small.jsonl").write_text('{"stage": "supervised", "step": 0, "loss": 1.0}\n', encoding="utf-8")
    card = {"tag": "synthetic", "preset": "small", "source": f"package:{package.name}/weights/{file.name}", "sha256": digest(file), "labels": labels}
    card |= {"trained_on": {"data": "d", "manifest_hash": "00", "subjects": ["d:1"]}, "protocol": "all", "metrics": {"uf1": 0.5}, **changes}
    (folder / f"{model}-small.json").write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "limit", "said"),
    [
        ({}, 4_000_000, ""),
        ({"sha256": "0" * 64}, 4_000_000, r"weights 'synthetic': .* damaged or changed: .*make them and their card again by `python -m merzoo\.embed"),
        ({}, 1000, r"weights 'synthetic': they are larger than .* MB, too large to ship inside a plugin; make the preset smaller"),
        ({"labels": ("a", "b", "c")}, 4_000_000, r"do not fit the network: wrong shape .*make them and their card again"),
    ],
    ids=["sound", "wrong-hash", "too-large", "other-labels"],
)
def test_weights_are_what_their_card_says(here: Here, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], limit: int, said: str) -> None:
    here.install("sound")
    package = here.install("shipping")
    ship(package, "shipping", **changes)
    sys.modules.pop("merzoo_shipping.plugin", None)  # imported before it had weights
    here.refresh()
    monkeypatch.setattr(paperwork, "SHIPPED_BYTES", limit)
    (found,) = answers("shipping", "is_described")
    assert len(registry().model("shipping").weights) == 1
    assert found.status == ("fail" if said else "pass") and re.search(said, found.text), found


# The command


def test_the_command_says_what_passed_and_what_did_not(site, one_line: Callable[..., str]) -> None:
    install(site.root, "sound")
    done = site.merzoo("check-plugin", "sound", "--quick")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert lines[0].startswith("pass loads ") and lines[-1] == f"sound: {len(lines) - 1} checks, 0 failed, 8 skipped"
    assert "merzoo-sound" in one_line(site.merzoo("check-plugin", "merzoo-sond"))  # a plugin that is not there is no failed check


@pytest.mark.parametrize("name", ["heavy-import", "misspelt-hook", "raises", "no-backbone", "no-preset", "name-of-another"])
def test_the_command_finds_faults(site, name: str) -> None:
    check, edits, said = FAULTS[name]
    install(site.root, name, edits)
    done = site.merzoo("check-plugin", name, "--quick", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["passed"], found["plugin"], found["distribution"]) == (1, False, name, f"merzoo-{name}"), done.stderr
    (text,) = {row["text"] for row in found["checks"] if row["status"] == "fail" and row["name"] == check}
    assert re.search(said, text)
    if name == "misspelt-hook":
        shown = site.merzoo("check-plugin", name, "--quick")
        assert shown.returncode == 1 and f"FAIL {check} " in shown.stdout and re.search(said, shown.stdout)


def test_a_plugin_that_is_not_there_has_near_ones(here: Here) -> None:
    here.install("sound")
    with pytest.raises(UnknownNameError, match=r"^unknown plugin 'soun'; did you mean sound\? \(install it: pip install -e \."):
        plugin_checks("soun")


# The checks as tests


def run_pytest(site, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    (site.root / "test_it.py").write_text(test, encoding="utf-8")
    code = "import sys, pytest; sys.exit(pytest.main(['-q', '-p', 'merzoo.testing.pytest_plugin', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    return site.python(code, *options, "test_it.py", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


CONTRACT = "def test_contract(merzoo_check):\n    merzoo_check()\n"


def test_each_check_is_a_test(site) -> None:
    install(site.root, "mixed", {PLUGIN: [("def merzoo_register", "def merzoo_regster")]})
    done = run_pytest(site, CONTRACT, "--merzoo-plugin", "mixed", "-rs")
    assert done.returncode == 1 and "1 failed, 3 passed, 3 skipped" in done.stdout, done.stdout
    assert "test_contract[hook-merzoo-mixed]" in done.stdout and "is not a hook; call it merzoo_register(register)" in done.stdout
    assert "Traceback" not in done.stdout and "no model of it has a paper" in done.stdout


def test_pyproject_names_the_plugin(site) -> None:
    install(site.root, "named")
    (site.root / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmerzoo_plugin = "named"\n', encoding="utf-8")
    done = run_pytest(site, CONTRACT, "-k", "hook or words")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(("options", "said"), [((), "whom to check? give --merzoo-plugin NAME"), (("--merzoo-plugin", "nobody"), "unknown plugin 'nobody'")])
def test_a_fixture_without_a_plugin_is_told(site, options: tuple[str, ...], said: str) -> None:
    done = run_pytest(site, CONTRACT, *options)
    assert done.returncode != 0 and f"merzoo_check: {said}" in done.stdout + done.stderr, done


def test_tests_of_others_pay_nothing(site) -> None:
    """A project in whose environment merzoo happens to lie."""
    test = """
import sys

def test_nothing_of_merzoo_is_loaded_but_the_plugin(request):
    assert request.config.pluginmanager.hasplugin("merzoo.testing.pytest_plugin")
    loaded = [name for name in sys.modules if name.partition(".")[0] == "merzoo"]
    assert sorted(loaded) == ["merzoo", "merzoo.testing", "merzoo.testing.pytest_plugin", "merzoo.version"], loaded
    assert not {"torch", "numpy", "pandas", "timm", "cv2", "sklearn", "pluggy.x"} & set(sys.modules)
"""
    done = run_pytest(site, test)
    assert done.returncode == 0, done.stdout


def test_pytest_finds_the_plugin_by_itself() -> None:
    facts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert facts["project"]["entry-points"]["pytest11"] == {"merzoo": "merzoo.testing.pytest_plugin"}
