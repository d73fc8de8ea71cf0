"""Models made by a name: parts of several papers, and other options."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merzoo.cli import main
from merzoo.compose import composed, lender, network_of
from merzoo.data.clips import ClipData
from merzoo.errors import NeedsError, UnknownNameError, UsageError, WeightsError
from merzoo.evaluation.evaluate import evaluate
from merzoo.loading import load
from merzoo.recognizer import assemble
from merzoo.registry import info, registry
from merzoo.training.train import train

LABELS = ("a", "b")


def test_parts_take_along_the_options_of_the_model_they_come_from() -> None:
    spec = registry().model("miacnet+gap+ma2mi+future-frame")
    own, lent = registry().model("miacnet").preset("small"), registry().model("miacnet-ma2mi").preset("small")
    small = spec.preset("small")
    assert (small.backbone, small.strategy, small.auxiliary) == (own.backbone, lent.strategy, lent.auxiliary) and small.head == {}
    assert small.preprocessing == own.preprocessing and (spec.head, spec.auxiliary, spec.strategy) == ("gap", ("future-frame",), "ma2mi")
    assert assemble(spec, "small", LABELS).head.linear.out_features == 2


def test_parts_that_a_backbone_is_used_to_come_as_its_own_model_has_them() -> None:
    """Several models of the plugin have this strategy: the options are those of the backbone's."""
    own = registry().model("famnet").preset("small")
    crossed = registry().model("famnet+late-fusion+multi-task").preset("small")
    assert (crossed.backbone, crossed.head, crossed.strategy) == (own.backbone, own.head, own.strategy)
    assert own.strategy != registry().model("amnet2d").preset("small").strategy
    assert registry().model("miacnet+late-fusion+multi-task").preset("small").strategy == own.strategy  # and not the first's by name


def test_a_backbone_that_no_model_has_gets_crops_for_its_inputs() -> None:
    zoo = registry()
    assert lender(zoo, zoo.get("backbone", "timm/resnet18")) is None
    spec = zoo.model("timm/test_resnet+linear+supervised")
    assert [*spec.presets] == ["full"] and spec.preset("full").preprocessing.size == 256
    with pytest.raises(UnknownNameError, match="preset"):
        spec.preset("small")


@pytest.mark.parametrize("name", ["miacnet+gap", "miacnet+gap+", "+gap+supervised", "miacnet+gap+ma2mi+future-frame+future-frame"])
def test_a_name_that_is_no_cross_says_what_one_is(name: str) -> None:
    with pytest.raises(UsageError, match="BACKBONE"):
        registry().model(name)


@pytest.mark.parametrize(
    "name",
    ["nonet+gap+supervised", "miacnet+nohead+supervised", "miacnet+gap+nostrategy", "miacnet+gap+ma2mi+notask", "nonet,backbone.size=2"],
)
def test_an_unknown_part_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown .* 'no"):
        registry().model(name)


def test_options_reach_into_mappings_and_leave_the_rest() -> None:
    name = "miacnet-ma2mi,backbone.branches=action,strategy.fine_tuning.epochs=5,strategy.delta.seconds=[0.1,0.2],preprocessing.size=120"
    spec, plain = registry().model(name), registry().model("miacnet-ma2mi")
    small, before = spec.preset("small"), plain.preset("small")
    assert small.backbone == {**before.backbone, "branches": "action"}
    assert small.strategy["fine_tuning"] == {**before.strategy["fine_tuning"], "epochs": 5} and small.strategy["delta"] == {"seconds": [0.1, 0.2]}
    assert small.preprocessing.size == 120 and spec.name == name
    assert registry().model("miacnet-ma2mi,future-frame.channels=2").preset("small").auxiliary["future-frame"]["channels"] == 2


def test_a_variant_has_weights_only_where_its_training_is_other_and_no_number_of_the_papers() -> None:
    own = registry().model("miacnet-ma2mi")
    assert own.weights and own.paper.reported
    other = registry().model("miacnet-ma2mi,strategy.fine_tuning.epochs=2")
    assert other.weights == own.weights and other.paper.reported == () and other.paper.title == own.paper.title
    for setting in ("backbone.normalise=imagenet", "preprocessing.size=200", "head.dropout=0.1", "future-frame.channels=2"):
        assert registry().model(f"miacnet-ma2mi,{setting},strategy.fine_tuning.epochs=2").weights == ()


def test_words_that_people_type_for_values_mean_what_they_say() -> None:
    options = registry().model("miacnet,strategy.interval_jitter=False,head.dropout=None,backbone.fusion=concat").preset("small")
    assert options.strategy["interval_jitter"] is False and options.head["dropout"] is None and options.backbone["fusion"] == "concat"
    for value in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(UsageError, match="no number"):
            registry().model(f"miacnet,strategy.lr={value}")
    with pytest.raises(UsageError, match="at most 300 fit"):
        registry().model("miacnet," + ",".join(f"strategy.schedule.decay=0.{i:05d}" for i in range(20)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("noword", "not PART.OPTION=VALUE"),
        ("backbone.=3", "not PART.OPTION=VALUE"),
        ("backbone", "not PART.OPTION=VALUE"),
        ("other.size=3", "has no part 'other'"),
        ("preprocessing.size=many", "cannot be set"),
        ("preprocessing.side=3", "cannot be set"),
        ("backbone..size=3", "no part"),
    ],
)
def test_what_cannot_be_set_is_refused(settings: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        registry().model(f"miacnet,{settings}")


def test_an_option_that_a_part_does_not_have_is_refused_when_it_is_built() -> None:
    with pytest.raises(UsageError, match="no option"):
        assemble(registry().model("miacnet,backbone.colour=3"), "small", LABELS)


def test_needs_of_a_cross_are_checked() -> None:
    with pytest.raises(NeedsError, match="pair-code"):
        assemble(registry().model("timm/test_resnet+linear+ma2mi+future-frame"), "full", LABELS)


def test_info_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    name = "timm/test_resnet+linear+ma2mi+future-frame"
    assert info(name)["missing"] == ["pair-code"] and info("miacnet-ma2mi")["missing"] == []
    assert main(["info", name]) == 0 and "MISSING     pair-code" in capsys.readouterr().out


def test_info_and_evaluate_take_such_a_name_and_weights_are_found_by_it(tiny: ClipData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = info("miacnet+gap+supervised")
    assert facts["kind"] == "model" and [part["name"] for part in facts["parts"]] == ["miacnet", "gap", "supervised"]
    small = ["backbone.view=difference", "backbone.size=48", "preprocessing.size=64", "strategy.epochs=1"]
    name = ",".join(["timm/test_resnet+linear+supervised", *small])
    result = evaluate(name, "synthetic:tiny", "subject-2fold", out=tmp_path / "run")
    assert result["model"] == name and result["parts"]["backbone"] == "timm/test_resnet"
    given = [part for setting in small for part in ("--set", setting)]
    code = main(["train", "timm/test_resnet+linear+supervised", *given, "--data", "synthetic:tiny", "--out", str(tmp_path / "trained")])
    assert code == 0 and name in capsys.readouterr().out
    model = load(name, weights=tmp_path / "trained" / "weights.safetensors")
    assert isinstance(model.backbone.network, torch.nn.Module) and model.preprocessing.size == 64


def test_registering_such_a_name_is_refused() -> None:
    from merzoo.specs import valid_name

    assert not valid_name("a+b+c") and not valid_name("a,backbone.size=3")
    assert composed(registry(), "miacnet,backbone.size=96").backbone == "miacnet"


def test_models_of_one_network_take_each_others_weights() -> None:
    assert network_of("lightmannet,strategy.steps=2,head.dropout=0.1,strategy.adaptation.steps=3") == "lightmannet,head.dropout=0.1"
    assert network_of("a+b+c,strategy.epochs=1") == "a+b+c" != network_of("a+b+d")


def test_weights_go_on_under_other_options_of_the_training_alone(tiny: ClipData, tmp_path: Path) -> None:
    name = "timm/test_resnet+linear+supervised,backbone.view=difference,backbone.size=48,preprocessing.size=64"
    train(f"{name},strategy.epochs=1", "synthetic:tiny", out=tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    assert load(f"{name},strategy.lr=0.1", weights=weights).weights is not None
    with pytest.raises(WeightsError, match="load them by that name"):
        load(name.replace("size=48", "size=40"), weights=weights)


def test_data_that_lack_something_say_how_to_give_it() -> None:
    with pytest.raises(NeedsError, match="--macro NAME"):
        assemble(registry().model("lightmannet"), "small", LABELS, data_provides=("emotion-labels",))
    with pytest.raises(NeedsError, match="column `aus`"):
        assemble(registry().model("famnet"), "small", LABELS, data_provides=("emotion-labels",))
