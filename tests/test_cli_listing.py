"""The frame of the command line and its listing verbs, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from merzoo.cli import VERBS, application, main
from merzoo.cli.guard import guarded
from merzoo.cli.output import print_json, print_table
from merzoo.errors import DataError

FRUIT = """
from merzoo.specs import ModelSpec, Paper, Preset, Reported, View, WeightsSpec

def merzoo_register(register):
    weights = WeightsSpec("first", "full", "package:x/y", "0" * 64, ("a", "b"), {"data": "synthetic", "subjects": ["s1", "s2"]}, "loso", {"uf1": 0.5})
    paper = Paper("On fruit", year=2024, reported=(Reported("fruit:3", "loso", "uf1", 0.7, "Table 1"),))
    register.model(ModelSpec("fruit", "a fruit", "timm/resnet18", train_views={"x": (View("flow", {"size": 8}),)}, weights=(weights,), paper=paper))
    register.model(ModelSpec("fruit-salad", "many", "flow-grid"))
"""


@pytest.fixture
def fruit(site):
    site.distribution("orchard", source=FRUIT)
    return site


def test_list_json_has_the_fields_of_the_contract(fruit):
    rows = json.loads(fruit.merzoo("list", "fruit*", "--json").stdout)
    assert rows == [
        {"name": "fruit", "kind": "model", "plugin": "orchard", "summary": "a fruit", "weights": ["first"]},
        {"name": "fruit-salad", "kind": "model", "plugin": "orchard", "summary": "many", "weights": []},
    ]


def test_list_as_text(fruit):
    lines = fruit.merzoo("list", "fruit*").stdout.splitlines()
    assert lines[0].split() == ["name", "plugin", "weights", "summary"]
    assert lines[1].split() == ["fruit", "orchard", "first", "a", "fruit"] and lines[2].split()[2] == "-"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("backbone", "timm/*"), ("head", "mlp"), ("strategy", "supervised"), ("dataset", "synthetic"), ("view", "dynamic-image"), ("aligner", "eyes")],
)
def test_list_of_each_kind(capsys, kind, name):
    assert main(["list", "--kind", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert name in [row["name"] for row in rows] and {row["kind"] for row in rows} == {kind}


def test_a_pattern_that_nothing_matches_says_near_names(fruit):
    done = fruit.merzoo("list", "friut")
    assert (done.returncode, done.stdout) == (0, "no model matches friut; did you mean fruit?\n")
    assert fruit.merzoo("list", "friut", "--json").stdout == "[]\n"


def test_info_of_a_model(fruit):
    text = fruit.merzoo("info", "fruit").stdout
    for said in (
        "fruit · model of orchard",
        "timm/resnet18 (merzoo-builtin)",
        "x: flow(size=8)",
        "first: preset full, trained on synthetic, 2 subjects; uf1 0.5 (loso)",
        "On fruit, 2024",
        "uf1 0.7 on fruit:3 under loso (Table 1)",
        "Apache-2.0",
    ):
        assert said in text
    facts = json.loads(fruit.merzoo("info", "fruit", "--json").stdout)
    assert facts["weights"][0]["tag"] == "first" and facts["paper"]["title"] == "On fruit"


def test_info_of_an_unknown_name_is_one_line_with_near_names(fruit, one_line):
    assert "did you mean fruit?" in one_line(fruit.merzoo("info", "friut"))
    assert "did you mean fruit?" in one_line(fruit.merzoo("info", "friut", "--kind", "model", "--json"))


def test_plugins_as_text(fruit):
    fruit.distribution("broken", source="raise RuntimeError('no')")
    text = fruit.merzoo("plugins").stdout
    assert "2 model" in text and "broken (broken): RuntimeError: no" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lits"], "Did you mean 'list'?"),
        (["list", "--knid", "head"], "No such option: --knid"),
        (["list", "--kind", "heads"], "'heads' is not one of"),
        (["info"], "Missing argument"),
        (["info", "\x1b[31mred\nline"], r"\x1b[31mred line"),
        (["list", "a", "b"], "unexpected extra argument"),
        (["leaderboard"], "Missing command; see 'merzoo leaderboard --help'"),
    ],
)
def test_usage_errors_are_one_line(site, one_line, arguments, said):
    assert said in one_line(site.merzoo(*arguments))


def test_help_lists_every_verb_and_the_bare_command_is_help(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == text
    assert all(f"  {verb} " in text and short in text for verb, (_, _, short) in VERBS.items())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    assert main([verb, "--help"]) == 0
    assert f"Usage: merzoo {verb}" in capsys.readouterr().out
    assert application().commands[verb].get_short_help_str()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "merzoo 0.1.0\n"


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("table broken;\nmend \x1b it"), 2, r"merzoo: table broken; mend \x1b it"),
        (PermissionError(13, "Permission denied", "out/run.json"), 2, "merzoo: out/run.json: Permission denied"),
        (OSError(28, "No space left on device"), 2, "merzoo: No space left on device"),
        (KeyboardInterrupt(), 130, "merzoo: interrupted; a run folder goes on with the same command and --resume"),
        (ZeroDivisionError("by zero"), 2, "merzoo: unexpected ZeroDivisionError: by zero; MERZOO_DEBUG=1 shows where, please report it"),
    ],
)
def test_every_error_is_one_line(capsys, monkeypatch, error, code, line):
    monkeypatch.delenv("MERZOO_DEBUG", raising=False)
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == line + "\n"
    monkeypatch.setenv("MERZOO_DEBUG", "1")
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err.startswith("Traceback")


def test_warnings_of_libraries_are_kept_from_the_user(site):
    site.distribution("pear", source="import warnings\nwarnings.warn('old', FutureWarning)\ndef merzoo_register(register): pass\n")
    assert site.merzoo("list").stderr == ""
    assert "FutureWarning" in site.merzoo("list", MERZOO_DEBUG="1").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("heads", [1, 2000])
def test_a_full_disk_is_one_line(site, heads):
    site.distribution("many", source=f"def merzoo_register(register):\n    for i in range({heads}): register.head(f'head-{{i}}', 'a:b')\n")
    with Path("/dev/full").open("w") as full:
        done = site.merzoo("list", "head-*", "--kind", "head", stdout=full)
    assert (done.returncode, done.stderr) == (2, "merzoo: No space left on device\n")


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(f"{sys.executable} -m merzoo list --kind head | true", shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""


def test_a_terminal_without_the_sign_gets_an_escape(site):
    site.distribution("pear", source="def merzoo_register(register):\n    register.head('pear', 'a:b', summary='t+δ')\n")
    assert r"t+\u03b4" in site.merzoo("list", "pear", "--kind", "head", PYTHONIOENCODING="ascii").stdout


def test_json_is_strict(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), (1, 2)], "c": "δ\x1b"})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [None, [1, 2]], "c": "δ\x1b"}


def test_tables_line_up(capsys):
    print_table(("a", "b"), [("long\nname", 1), ("x", 22)])
    assert capsys.readouterr().out.splitlines() == ["a           b", "long\\nname  1", "x           22"]


def test_protocols_are_listed_without_torch_or_pandas(site) -> None:
    done = site.python(
        "import sys; sys.argv = ['merzoo', 'list', 'few*', '--kind', 'protocol', '--json']\n"
        "from merzoo.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'cv2'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads(done.stdout)] == ["few-shot-K"]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(["list", "--kind", "protocl"], "protocol"), (["info", "ststnet", "--kind", "modl"], "model"), (["list", "--kind", "zzz"], "")],
)
def test_a_misspelt_choice_has_near_ones(site, one_line, arguments, near) -> None:
    line = one_line(site.merzoo(*arguments))
    assert line.startswith(f"merzoo: Invalid value for '--kind': '{arguments[-1]}' is not one of 'model', 'backbone', ")
    assert line.endswith(f"see 'merzoo {arguments[0]} --help'") and (f"; did you mean {near}?; " in line if near else "did you mean" not in line)
