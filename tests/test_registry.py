"""Names: who registered what, near names, families, collisions, deprecated names, and models whose parts are missing."""

from __future__ import annotations

import json

import pytest

from merzoo.describe import describe
from merzoo.entries import Register
from merzoo.errors import CollisionError, MerzooWarning, PluginError, UnknownNameError, UsageError
from merzoo.registry import Registry, info, list_models, registry
from merzoo.specs import ModelSpec, Paper, Preprocessing, Preset, Reported, View, WeightsSpec

WEIGHTS = WeightsSpec("first", "small", "package:x/y", "0" * 64, ("calm", "happy"), {"data": "synthetic", "subjects": ["a", "b"]}, metrics={"uf1": 0.5})
MODEL = ModelSpec(
    "fruit",
    "a fruit",
    backbone="pear-net",
    head="core",
    auxiliary=("seed",),
    strategy="grow",
    train_views={"pair": (View("look", {"frames": ("onset", "apex")}),)},
    presets={"full": Preset(), "small": Preset(backbone={"width": 8}, preprocessing=Preprocessing("eyes", 64))},
    weights=(WEIGHTS,),
    paper=Paper("On fruit", reported=(Reported("fruit:3", "loso", "uf1", 0.7, "Table 1"),)),
)


@pytest.fixture
def register():
    made = Register("orchard")
    made.backbone("pear-net", "math:sqrt", needs=("light",), provides=("pooled",), summary="a net")
    made.backbone_family("tree", "builtins:dict", provides=("pooled",), summary="any tree")
    made.head("core", "math:sqrt", needs=("pooled",))
    made.auxiliary_task("seed", "math:sqrt", needs=("soil",))
    made.strategy("grow", "math:sqrt")
    made.view("look", "math:sqrt")
    made.aligner("eyes", "math:sqrt")
    made.dataset("rain", "math:sqrt", provides=("soil",))
    made.model(MODEL)
    return made


def zoo_of(*registers):
    zoo = Registry()
    for each in registers:
        zoo.add(each)
    return zoo


def test_entries_hold_what_was_registered(register):
    entry = zoo_of(register).get("backbone", "pear-net")
    assert (entry.kind, entry.name, entry.target, entry.plugin, entry.summary) == ("backbone", "pear-net", "math:sqrt", "orchard", "a net")
    assert (entry.needs, entry.provides, entry.spec) == (("light",), ("pooled",), None)
    assert entry.load()(9.0) == 3.0
    assert register.refused == []


def test_a_family_resolves_its_members(register):
    zoo = zoo_of(register)
    entry = zoo.get("backbone", "tree/oak_v2.in1k")
    assert entry.name == "tree/oak_v2.in1k" and entry.provides == ("pooled",)
    assert entry.load()(rings=3) == {"member": "oak_v2.in1k", "rings": 3}
    for name in ("tree/", "tree/a/b", "tree/../up", "bush/oak"):
        with pytest.raises(UnknownNameError):
            zoo.get("backbone", name)
    (family,) = zoo.entries("backbone", "tree/*")
    assert family.shown == "tree/*"
    with pytest.raises(UsageError, match="tree/NAME"):
        family.load()


def test_a_member_claimed_by_a_stranger_is_a_collision_but_its_own_plugin_may(register):
    register.backbone("tree/oak", "math:sqrt")
    assert zoo_of(register).get("backbone", "tree/oak").target == "math:sqrt"
    stranger = Register("stranger")
    stranger.backbone("tree/elm", "math:sqrt")
    with pytest.raises(CollisionError, match="stranger and orchard"):
        zoo_of(register, stranger).get("backbone", "tree/elm")


def test_collisions_name_both_and_only_when_asked(register):
    other = Register("garden")
    other.head("core", "math:cos")
    zoo = zoo_of(register, other)
    assert [entry.plugin for entry in zoo.entries("head")] == ["garden", "orchard"]
    assert zoo.get("backbone", "pear-net")
    with pytest.raises(CollisionError) as caught:
        zoo.get("head", "core")
    assert caught.value.plugins == ("orchard", "garden")


@pytest.mark.parametrize(("asked", "near"), [("pear-nte", "pear-net"), ("PEAR-NET", "pear-net"), ("pear", "pear-net")])
def test_unknown_names_list_near_ones(register, asked, near):
    with pytest.raises(UnknownNameError) as caught:
        zoo_of(register).get("backbone", asked)
    assert near in caught.value.near and near in str(caught.value)


def test_unknown_kinds_are_refused(register):
    with pytest.raises(UnknownNameError, match="backbone"):
        zoo_of(register).get("backbones", "pear-net")


def test_wildcards(register):
    zoo = zoo_of(register)
    assert [entry.name for entry in zoo.entries("backbone", "p*-net")] == ["pear-net"]
    assert [entry.name for entry in zoo.entries(None, "[cs]*")] == ["core", "seed"]
    assert zoo.entries("backbone", "P*") == []
    assert [entry.shown for entry in zoo.entries("backbone", "tree/o*k")] == ["tree/*"]


def test_deprecated_names_warn_and_forward_and_never_displace(register):
    register.deprecated("head", "kernel", "core")
    register.deprecated("head", "core", "nothing")
    zoo = zoo_of(register)
    with pytest.warns(MerzooWarning, match="'kernel' is deprecated by orchard; use 'core'"):
        assert zoo.get("head", "kernel").name == "core"
    assert zoo.get("head", "core").name == "core"


def test_deprecated_names_in_a_circle_end(register):
    register.deprecated("head", "a", "b")
    register.deprecated("head", "b", "a")
    with pytest.warns(MerzooWarning), pytest.raises(UnknownNameError):
        zoo_of(register).get("head", "a")


def test_two_plugins_deprecating_one_name_collide(register):
    other = Register("garden")
    for each in (register, other):
        each.deprecated("head", "kernel", "core")
    with pytest.raises(CollisionError, match="orchard and garden"):
        zoo_of(register, other).get("head", "kernel")


@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [
        ("head", ("Upper", "a:b"), {}),
        ("head", ("a b", "a:b"), {}),
        ("head", ("a\x1b[31m", "a:b"), {}),
        ("head", ("a" * 81, "a:b"), {}),
        ("head", (None, "a:b"), {}),
        ("head", ("a", "no colon"), {}),
        ("head", ("a", "os:system('x')"), {}),
        ("head", ("a", print), {}),
        ("head", ("a", "a:b"), {"needs": "pooled"}),
        ("head", ("a", "a:b"), {"provides": ("\x07",)}),
        ("head", ("a", "a:b"), {"summary": None}),
        ("backbone_family", ("a/b", "a:b"), {}),
        ("deprecated", ("heads", "a", "b"), {}),
        ("deprecated", ("head", "a\n", "b"), {}),
        ("model", ("not a spec",), {}),
        ("model", (ModelSpec("Upper", "", backbone="x"),), {}),
        ("model", (ModelSpec("m", "", backbone="../x"),), {}),
        ("model", (ModelSpec("m", "", backbone="x", train_views={"a": (View("<b>"),)}),), {}),
        ("model", (ModelSpec("m", "", backbone="x", presets={"a b": Preset()}),), {}),
    ],
)
def test_registrations_that_break_the_rules_are_refused(method, arguments, options):
    register = Register("orchard")
    getattr(register, method)(*arguments, **options)
    assert register.entries == [] and register.renamed == []
    (reason,) = register.refused
    assert "refused" in reason and reason.isprintable()


def test_the_first_of_two_registrations_by_one_plugin_stands(register):
    register.head("core", "math:cos")
    assert zoo_of(register).get("head", "core").target == "math:sqrt"
    assert "registered twice" in register.refused[0]


def test_a_target_that_is_not_there(register):
    register.head("gone", "math:no_such")
    with pytest.raises(PluginError, match="head 'gone' of plugin orchard: math:no_such"):
        zoo_of(register).get("head", "gone").load()


def test_describe_tells_everything_about_a_model(register):
    facts = describe(zoo_of(register), "fruit")
    assert [(part["kind"], part["name"]) for part in facts["parts"]] == [
        ("backbone", "pear-net"),
        ("head", "core"),
        ("auxiliary-task", "seed"),
        ("strategy", "grow"),
    ]
    assert facts["needs"] == ["light", "soil"] and facts["provides"] == ["pooled"]
    assert facts["views"]["train"] == {"pair": [{"kind": "look", "options": {"frames": ["onset", "apex"]}}]}
    assert facts["presets"]["small"]["backbone"] == {"width": 8} and facts["presets"]["small"]["preprocessing"] == {"aligner": "eyes", "size": 64}
    assert facts["weights"][0]["trained_on"] == {"data": "synthetic", "subjects": ["a", "b"]} and facts["weights"][0]["metrics"] == {"uf1": 0.5}
    (row,) = facts["paper"]["reported"]
    assert (row["data"], row["protocol"], row["metric"], row["value"], row["table"]) == ("fruit:3", "loso", "uf1", 0.7, "Table 1")
    assert (facts["plugin"], facts["licence"], facts["also"]) == ("orchard", "Apache-2.0", [])
    assert json.loads(json.dumps(facts)) == facts


def test_a_name_of_two_kinds_is_the_model_unless_said(register):
    register.backbone("fruit", "math:sqrt")
    zoo = zoo_of(register)
    assert (describe(zoo, "fruit")["kind"], describe(zoo, "fruit")["also"]) == ("model", ["backbone"])
    assert describe(zoo, "fruit", "backbone")["target"] == "math:sqrt"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbone": "pear-nt"}, "unknown backbone of model m 'pear-nt'; did you mean pear-net?"),
        ({"strategy": "absent"}, "unknown strategy of model m 'absent'"),
        ({"train_views": {"pair": (View("absent"),)}}, "unknown view of model m 'absent'"),
    ],
)
def test_a_model_whose_part_is_missing_says_so_when_described(register, change, said):
    register.model(ModelSpec(**{"name": "m", "summary": "", "backbone": "pear-net", "head": "core", "strategy": "grow", **change}))
    zoo = zoo_of(register)
    assert len(zoo.entries("model")) == 2
    with pytest.raises(UnknownNameError) as caught:
        describe(zoo, "m")
    assert str(caught.value).startswith(said) and "plugin" in str(caught.value)


def test_the_registry_of_the_process_is_made_once_and_has_the_core():
    assert registry() is registry()
    for kind, name in [("head", "linear"), ("backbone", "timm/resnet18"), ("strategy", "supervised"), ("dataset", "synthetic"), ("aligner", "eyes")]:
        assert registry().get(kind, name).plugin == "merzoo-builtin"
    assert list_models("no-such-*") == []
    assert list_models() == sorted(set(list_models()))
    assert info("linear")["kind"] == "head"


def test_every_target_of_the_core_can_be_loaded():
    ours = [entry for entry in registry().entries() if entry.plugin == "merzoo-builtin" and entry.target and not entry.family]
    assert ours
    for entry in ours:
        assert callable(entry.load())
    assert callable(registry().get("backbone", "timm/resnet18").load())
