"""Plugins as strangers ship them: distributions on the path of a fresh process, some of them broken."""

from __future__ import annotations

import json
import sys

import pytest

from merzoo.errors import MerzooWarning
from merzoo.plugins import Found, installed, load_registry

GOOD = """
from merzoo.specs import ModelSpec

def merzoo_register(register):
    register.backbone("{name}-net", "math:sqrt", provides=("pooled",), summary="a net")
    register.model(ModelSpec("{name}-model", "a model", backbone="{name}-net"))
"""


def good(name):
    return GOOD.replace("{name}", name)


def records(site, **environment):
    done = site.merzoo("plugins", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {record["name"]: record for record in json.loads(done.stdout)}, site.merzoo("list", **environment).stderr.splitlines()


def models(site, **environment):
    done = site.merzoo("list", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return [row["name"] for row in json.loads(done.stdout)]


def test_a_plugin_registers(site):
    site.distribution("merzoo-pear", source=good("pear"), point="pear")
    found, warned = records(site)
    assert warned == []
    pear = found["pear"]
    assert (pear["distribution"], pear["version"], pear["status"], pear["error"]) == ("merzoo-pear", "1.2", "ok", "")
    assert pear["registers"] == {"backbone": ["pear-net"], "model": ["pear-model"]}
    assert pear["load_ms"] > 0
    assert set(pear) == {"name", "distribution", "version", "status", "error", "registers", "load_ms"}
    assert "pear-model" in models(site)


def test_the_built_in_plugin_comes_first_through_the_same_hook(site):
    found, _ = records(site)
    assert next(iter(found)) == "merzoo-builtin"
    assert found["merzoo-builtin"]["distribution"] == "merzoo"
    assert "linear" in found["merzoo-builtin"]["registers"]["head"]


def test_a_plugin_that_raises_on_import_costs_one_warning(site):
    site.distribution("broken", source="import no_such_module_anywhere")
    site.distribution("pear", source=good("pear"))
    found, warned = records(site)
    assert found["broken"]["status"] == "failed"
    remedy = "install no_such_module_anywhere, or declare it as a dependency of the plugin"
    assert found["broken"]["error"] == f"ModuleNotFoundError: No module named 'no_such_module_anywhere' (broken.py:1); {remedy}"
    assert found["pear"]["status"] == "ok"
    (line,) = warned
    assert line.startswith("merzoo: warning: plugin broken failed: ModuleNotFoundError") and line.endswith("see 'merzoo plugins'")
    assert "pear-model" in models(site)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("def merzoo_register(:\n", "SyntaxError"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "exception str"),
        ("raise RuntimeError('\\x1b[2J' + 'x' * 10_000)", r"RuntimeError: \x1b[2Jxxx"),
        ("def merzoo_register(registre): pass", "registre"),
        ("import merzoo\nmerzoo.list_models()", "while plugins are loading"),
    ],
)
def test_however_it_fails_the_others_work(site, source, error):
    site.distribution("broken", source=source)
    site.distribution("pear", source=good("pear"))
    found, warned = records(site)
    assert found["broken"]["status"] == "failed" and error in found["broken"]["error"]
    assert len(found["broken"]["error"]) <= 300 and found["broken"]["error"].isprintable()
    assert found["pear"]["status"] == "ok" and len(warned) == 1


def test_a_hook_that_raises_half_way_leaves_nothing(site):
    site.distribution("half", source=good("half") + "    raise KeyError('late')\n")
    found, _ = records(site)
    assert (found["half"]["status"], found["half"]["error"], found["half"]["registers"]) == ("failed", "KeyError: 'late' (half.py:7); mend the code there", {})
    assert "half-model" not in models(site)
    assert site.merzoo("info", "half-net").returncode == 2


@pytest.mark.parametrize("marker", ["", "@hookimpl\n"])
def test_a_misspelled_hook_is_said(site, marker):
    source = f"from merzoo.hookspecs import hookimpl\n{marker}def merzoo_regster(register):\n    pass\n"
    site.distribution("typo", source=source)
    found, (line,) = records(site)
    assert found["typo"]["status"] == "warning"
    assert "merzoo_regster is not a hook" in found["typo"]["error"] and "merzoo_register(register)" in line


def test_a_misspelled_hook_of_an_object_is_said_and_its_good_hook_counts(site):
    source = good("pear").replace("def merzoo_register(register)", "def real(register)") + (
        "class Plugin:\n    def merzoo_register(self, register):\n        real(register)\n    def merzoo_models(self):\n        pass\nplugin = Plugin()\n"
    )
    site.distribution("pear", source=source, entry_points="[merzoo]\npear = pear:plugin\n")
    found, _ = records(site)
    assert found["pear"]["status"] == "warning" and "merzoo_models is not a hook" in found["pear"]["error"]
    assert "pear-model" in models(site)


def test_a_plugin_without_a_hook_is_said(site):
    site.distribution("silent", source="x = 1")
    found, _ = records(site)
    assert found["silent"]["status"] == "warning" and "no function merzoo_register" in found["silent"]["error"]


def test_two_plugins_with_one_name_are_an_error_only_when_it_is_asked_for(site, one_line):
    site.distribution("apple", source=good("fruit"))
    site.distribution("pear", source=good("fruit"))
    assert models(site).count("fruit-model") == 2
    line = one_line(site.merzoo("info", "fruit-net"))
    assert "apple" in line and "pear" in line and line.endswith("; block one of them, as in MERZOO_PLUGINS=-apple (or -pear)")
    assert site.merzoo("info", "fruit-net", MERZOO_PLUGINS="-pear").returncode == 0


def test_one_plugin_name_from_two_distributions_names_both(site):
    """Both are loaded: that neither was, as it used to be, let a stranger's choice of a name take away another's models."""
    site.distribution("apple", source=good("apple"), point="fruit")
    site.distribution("pear", source=good("pear"), point="Fruit")
    found, warned = records(site)
    assert found["fruit@apple"]["status"] == found["Fruit@pear"]["status"] == "warning" and warned == []
    assert "distribution pear" in found["fruit@apple"]["error"] and "distribution apple" in found["Fruit@pear"]["error"]
    assert {"apple-model", "pear-model"} <= set(models(site))


@pytest.mark.parametrize(
    ("choice", "seen"),
    [("-apple", {"pear"}), ("-fruit@pear", {"apple"}), ("-fruit", set()), ("apple", {"apple"}), ("fruit", {"apple", "pear"}), ("fruit,-pear", {"apple"})],
)
def test_one_plugin_name_from_two_distributions_is_allowed_and_blocked_by_distribution(site, choice, seen):
    for name in ("apple", "pear"):
        site.distribution(name, source=good(name), point="fruit")
    found, warned = records(site, MERZOO_PLUGINS=choice)
    for name in ("apple", "pear"):
        status = "blocked" if name not in seen else "warning" if len(seen) == 2 else "ok"  # what is told of both goes when one is blocked
        assert found[f"fruit@{name}"]["status"] == status
    assert warned == []


@pytest.mark.parametrize(("owner", "point"), [("Merzoo_Pear", "merzoo-pear"), ("merzoo-pear", "pear"), ("pear", "PEAR")])
def test_a_distribution_keeps_the_plugin_name_that_it_is_called_by(site, owner, point):
    site.distribution(owner, module="pear", source=good("pear"), point=point)
    site.distribution("evil", source=good("evil"), point=point.lower())
    found, (line,) = records(site)
    assert (found[point]["distribution"], found[point]["status"]) == (owner, "ok")
    thief = found[f"{point.lower()}@evil"]
    assert (thief["status"], thief["registers"]) == ("failed", {})
    assert f"belongs to the distribution {owner}, and evil claims it too; uninstall evil" in thief["error"] and thief["error"] in line
    assert site.merzoo("info", "pear-model").returncode == 0
    assert json.loads(site.merzoo("plugins", point, "--json").stdout)["distribution"] == owner
    assert site.merzoo("list", MERZOO_PLUGINS="-evil").stderr == ""


def test_where_two_distributions_are_called_by_a_plugin_name_neither_fails(site):
    for name in ("pear", "merzoo-pear"):
        site.distribution(name, source=good(name), point="pear")
    assert {"pear-model", "merzoo-pear-model"} <= set(models(site))


def test_a_plugin_name_that_a_distribution_has_twice_harms_no_other(site):
    site.distribution("apple", source=good("apple"), entry_points="[merzoo]\nfruit = apple\nFruit = apple\n")
    found, (line,) = records(site)
    assert found["fruit"]["status"] == "failed" and "twice in the entry points of apple" in line
    site.distribution("pear", source=good("pear"), point="fruit")
    found, _ = records(site)
    assert (found["fruit@apple"]["status"], found["fruit@pear"]["status"]) == ("failed", "ok")


@pytest.mark.parametrize("point", ["merzoo-builtin", "Merzoo_Builtin"])
def test_nobody_displaces_the_built_in_plugin(site, point):
    site.distribution("impostor", source=good("impostor"), point=point)
    done = site.merzoo("plugins", "--json")
    status = {record["distribution"]: record["status"] for record in json.loads(done.stdout)}
    assert (status["merzoo"], status["impostor"]) == ("ok", "failed")
    assert site.merzoo("info", "linear").returncode == 0


def test_nobody_displaces_the_built_in_plugin_of_a_checkout_that_is_not_installed(site, monkeypatch):
    site.distribution("merzoo-builtin", module="impostor", source="raise RuntimeError('loaded')")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [str(site.root)])  # where merzoo's own metadata are not
        found = installed()
    first, second = [(plugin.name, plugin.distribution, bool(plugin.problem)) for plugin in found]
    assert first == ("merzoo-builtin", "merzoo", False) and second == ("merzoo-builtin@merzoo-builtin", "merzoo-builtin", True)
    with pytest.warns(MerzooWarning, match="belongs to the distribution merzoo, and merzoo-builtin claims it too"):
        zoo = load_registry(found, choice="")
    assert zoo.get("head", "linear").plugin == "merzoo-builtin"


def test_hostile_names_are_refused_and_never_printed_raw(site):
    source = good("pear") + "".join(f'    register.head("{name}", "math:sqrt")\n' for name in (r"\x1b[31mred", "[bold]", "../up"))
    site.distribution("pear", source=source)
    site.distribution("evil", source=good("evil"), entry_points="[merzoo]\n\x1b[31mevil = evil\n")
    done = site.merzoo("plugins")
    assert "\x1b" not in done.stdout + done.stderr and r"\x1b[31mevil" in done.stdout
    found, _ = records(site)
    assert found["pear"]["status"] == "warning" and found["pear"]["error"].count("refused") == 3
    assert "head" not in found["pear"]["registers"] and "pear-model" in models(site)
    assert found[r"\x1b[31mevil"]["status"] == "failed" and "evil-model" not in models(site)


def test_a_hostile_summary_is_escaped(site):
    site.distribution("pear", source=good("pear").replace("a net", "\\x1b]0;title\\x07\\u202e[red]net"))
    for arguments in (["list", "--kind", "backbone"], ["info", "pear-net"]):
        text = site.merzoo(*arguments).stdout
        assert r"\x1b]0;title\x07\u202e[red]net" in text and "\x1b" not in text


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        ("", {"apple", "pear"}),
        ("apple", {"apple"}),
        (" Apple , pear,", {"apple", "pear"}),
        ("-apple", {"pear"}),
        ("apple,-apple", set()),
        ("-merzoo-builtin", {"apple", "pear"}),
    ],
)
def test_allow_and_block_before_loading(site, choice, seen):
    loud = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
    for name in ("apple", "pear"):
        site.distribution(name, source=loud + good(name))
    found, _ = records(site, MERZOO_PLUGINS=choice)
    assert {name for name in ("apple", "pear") if found[name]["status"] == "ok"} == seen
    assert all(found[name]["status"] == "blocked" for name in {"apple", "pear"} - seen)
    assert {path.stem for path in site.root.glob("*.ran")} == seen
    assert found["merzoo-builtin"]["status"] == "ok"


def test_an_unknown_name_in_the_variable_is_said(site):
    _, warned = records(site, MERZOO_PLUGINS="-no-such-plugin")
    assert any("MERZOO_PLUGINS names 'no-such-plugin'" in line for line in warned)


def test_a_damaged_entry_points_file_stops_nobody(site):
    site.distribution("damaged", source="", entry_points="[merzoo]\nthis line has no equals sign\n")
    site.distribution("pear", source=good("pear"))
    found, warned = records(site)
    assert found["damaged"]["status"] == "failed" and "entry_points.txt" in found["damaged"]["error"]
    assert found["pear"]["status"] == "ok" and len(warned) == 1


def test_what_a_plugin_prints_stays_out_of_json(site):
    site.distribution("chatty", source="print('hello from chatty')\n" + good("chatty"))
    found, warned = records(site)
    assert found["chatty"]["status"] == "ok" and warned == ["hello from chatty"]


def test_a_target_that_cannot_be_imported_is_one_clear_error(site):
    site.distribution("pear", source=good("pear").replace("math:sqrt", "no_such_module:Net"))
    done = site.python("from merzoo.registry import registry; registry().get('backbone', 'pear-net').load()")
    assert done.stderr.splitlines()[-1].startswith("merzoo.errors.PluginError: backbone 'pear-net' of plugin pear: no_such_module:Net cannot be loaded")


def test_a_deprecated_name_warns_and_forwards(site):
    site.distribution("pear", source=good("pear") + '    register.deprecated("model", "old-model", "pear-model")\n')
    done = site.merzoo("info", "old-model", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["name"] == "pear-model"
    assert done.stderr == "merzoo: warning: model 'old-model' is deprecated by pear; use 'pear-model'\n"


def test_a_deprecated_name_of_two_plugins_is_told_with_their_distributions(site, one_line):
    for name in ("apple", "pear"):
        more = f'    register.deprecated("backbone", "old-net", "{name}-net")\n    register.model(ModelSpec("{name}-old", "a model", backbone="old-net"))\n'
        site.distribution(f"merzoo-{name}", module=name, source=good(name) + more, point=name)
    found, warned = records(site)
    assert warned == [] and found["apple"]["status"] == found["pear"]["status"] == "warning"
    remedy = "block one of them, as in MERZOO_PLUGINS=-apple (or -pear)"
    assert f"deprecated backbone 'old-net': also claimed by pear (distribution merzoo-pear); {remedy}" in found["apple"]["error"]
    line = one_line(site.merzoo("info", "old-net"))
    assert "deprecated backbone 'old-net' is claimed by apple (distribution merzoo-apple) and pear (distribution merzoo-pear)" in line
    for name in ("apple", "pear"):  # each model means its own plugin's
        parts = json.loads(site.merzoo("info", f"{name}-old", "--json").stdout)["parts"]
        assert parts[0]["name"] == f"{name}-net"


def test_a_deprecated_name_that_is_in_use_is_no_collision(site):
    for name in ("apple", "pear"):
        site.distribution(name, source=good(name) + '    register.deprecated("head", "linear", "other")\n')
    found, _ = records(site)
    assert found["apple"]["status"] == found["pear"]["status"] == "ok"


def test_a_fresh_registry_from_given_plugins_alone():
    class Plugin:
        def merzoo_register(self, register):
            register.head("mine", "math:sqrt")
            register.head("mine", "math:sqrt")

    with pytest.warns(MerzooWarning, match="registered twice by the same plugin"):
        zoo = load_registry([Found("given", "nowhere", "0", Plugin)], choice="")
    assert [entry.shown for entry in zoo.entries()] == ["mine"]
