"""Publishing: what a training run becomes, what its card says and to whom it listens, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from published_runs import copied, head, renamed

from merzoo.cli import main
from merzoo.errors import MerzooError, RunError, UnknownNameError, UsageError, WeightsError
from merzoo.evaluation.runs import RunFolder, result
from merzoo.publish.folder import check_repo, prepare
from merzoo.published import read_config
from merzoo.weights import digest, read, write

MODEL = "ststnet,strategy.epochs=2"


def edited(run: Path, to: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of an evaluation whose first fold somebody changed."""
    copied(run, to)
    folder = RunFolder.open(to)
    path = folder.fold_path(folder.seeds[0], folder.protocol.folds[0].fold_id)
    fold = json.loads(path.read_text())
    change(fold)
    path.write_text(json.dumps(fold))
    return to


def test_a_dry_run_writes_the_folder_compares_it_and_uploads_nothing(trained: Path, evaluated: Path, hub: Any, hub_client: Any, tmp_path: Path) -> None:
    out = tmp_path / "folder"
    arguments = ("publish", str(trained), "--scores", str(evaluated), "--repo", "tester/tiny", "--dry-run", "--out", str(out))
    done = hub_client.merzoo(*arguments, HF_TOKEN=hub.token)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "it would be made" in done.stdout and "would publish the ids of 7 people, such as synthetic:s5000" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (out / "model.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()
    config = read_config(out)
    assert (config.model, config.preset, config.sha256) == (MODEL, "small", digest(trained / "weights.safetensors"))
    numbers = result(RunFolder.open(evaluated))["scores"]
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "merzoo" and card.data.license == "apache-2.0" and card.data.pipeline_tag == "video-classification"
    assert [(one.metric_type, one.metric_value, one.dataset_split) for one in card.data.eval_results] == [
        (kind, round(numbers[name]["value"], 4), "loso") for kind, name in (("f1", "uf1"), ("recall", "uar"), ("accuracy", "accuracy"))
    ]
    low, high = numbers["uf1"]["low"], numbers["uf1"]["high"]
    assert f"95 % interval {low:.3f} to {high:.3f}" in card.data.eval_results[0].metric_name and card.data.eval_results[0].verified is False
    assert f"| {low:.3f} to {high:.3f} |" in card.text and "4 other networks trained the same way" in card.text
    hub.put("tester/tiny", {"README.md": "old", "config.json": (out / "config.json").read_bytes(), "notes.txt": "kept"})
    again = hub_client.merzoo(*arguments, "--json", HF_TOKEN=hub.token)
    told = json.loads(again.stdout)
    assert {file["file"]: file["what"] for file in told["files"]} == {"README.md": "changed", "config.json": "the same", "model.safetensors": "new"}
    assert (told["builds_on"], told["left"], told["private"]) == (hub.repo("tester/tiny").head, ["notes.txt"], False)
    assert {one.method for one in hub.requests} <= {"GET", "HEAD"}


def test_a_dry_run_where_the_hub_cannot_be_reached_says_so(trained: Path, site: Any, tmp_path: Path) -> None:
    out = tmp_path / "folder"
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    done = site.merzoo("publish", str(trained), "--repo", "a/b", "--dry-run", "--out", str(out), **offline)
    assert done.returncode == 0 and "not compared with the Hub: a/b cannot be looked at: http://127.0.0.1:9 cannot be reached" in done.stdout, done
    assert read_config(out).trained_on["data"] == "synthetic:tiny"
    assert "**It has not been scored.**" in (out / "README.md").read_text() and "model-index" not in head((out / "README.md").read_text())


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": "off-apexnet"},
    "preset": {"preset": "full"},
    "labels": {"labels": ["happiness", "surprise", "disgust", "repression", "fear"]},
    "options": {"options": {"backbone": {"size": 112}, "head": {}, "auxiliary": {}, "strategy": {"epochs": 200}}},
    "weights": {"weights": {"tag": "synthetic", "sha256": "ab"}},
    "flip_labels": {"flip_labels": 0.5},
}


@pytest.mark.parametrize("field", CHANGES)
def test_scores_of_another_network_or_training_are_refused(trained: Path, evaluated: Path, tmp_path: Path, field: str) -> None:
    other = copied(evaluated, tmp_path / "other", **CHANGES[field])
    if field == "labels":
        for path in (other / "folds").glob("*/*.json"):
            path.write_text(path.read_text().replace("others", "fear"))
    told = {"model": "off-apexnet", "flip_labels": "wrong labels", "options": "options"}.get(field, f"{field} is")
    for force in (False, True):
        with pytest.raises(RunError, match=told):
            prepare(trained, "a/b", other, force=force)


def test_an_unfinished_evaluation_is_refused(trained: Path, evaluated: Path, tmp_path: Path) -> None:
    half = copied(evaluated, tmp_path / "half")
    next((half / "folds").glob("*/*.json")).unlink()
    with pytest.raises(RunError, match=r"1 of 4 folds are missing; go on with --resume"):
        prepare(trained, "a/b", half, force=True)
    with pytest.raises(RunError, match="without scores"):
        prepare(trained, "a/b", trained)
    with pytest.raises(RunError, match="--scores"):
        prepare(evaluated, "a/b")


def test_scores_of_a_run_that_met_its_test_subject_are_refused_and_forced_into_a_box(
    trained: Path, evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky = edited(evaluated, tmp_path / "leaky", lambda fold: fold["stages"][0]["subjects"].append(fold["test_subjects"][0]))
    arguments = ["publish", str(trained), "--scores", str(leaky), "--repo", "a/b", "--dry-run", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "fails its audit (test subjects in training: 1 stages met a test subject)" in capsys.readouterr().err and not (tmp_path / "out").exists()
    made = prepare(trained, "a/b", leaky, force=True)
    card = made.texts["README.md"]
    assert made.failed == ("test subjects in training",)
    assert "[!CAUTION]" in card and "published by force" in card and "> - **test subjects in training**: 1 stages met a test subject" in card
    assert "1 of 4 networks are left out of every number" in card and "3 other networks" in card
    assert "model-index" not in head(card) and made.config.metrics == {} and made.config.protocol == ""


def test_scores_whose_networks_learned_from_tests_are_shown_in_their_box(trained: Path, evaluated: Path, tmp_path: Path) -> None:
    other = edited(evaluated, tmp_path / "other", lambda fold: fold["checks"].update(state_unchanged=False))
    with pytest.raises(RunError, match="statistics of test data"):
        prepare(trained, "a/b", other)
    card = prepare(trained, "a/b", other, force=True).texts["README.md"]
    assert "> - **statistics of test data**" in card and "4 other networks" in card and "model-index" not in head(card)


def test_a_run_without_one_sound_fold_shows_no_number(trained: Path, evaluated: Path, tmp_path: Path) -> None:
    broken = copied(evaluated, tmp_path / "broken")
    for path in (broken / "folds").glob("*/*.json"):
        path.write_text("{}")
    card = prepare(trained, "a/b", broken, force=True).texts["README.md"]
    assert "no number is shown" in card and "published by force" in card and "UF1" not in card.split("## Scores")[1].split("## What it is for")[0]


def rewritten(run: Path, to: Path, tensors: dict[str, Any] | None = None, **changed: Any) -> Path:
    """A copy of a training run whose weights say something else."""
    copied(run, to)
    old, card = read(to / "weights.safetensors")
    write(to / "weights.safetensors", old if tensors is None else tensors, {**card, **changed})
    return to


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "off-apexnet"}, "model is 'off-apexnet' there"),
        ({"preset": "full"}, "preset is 'full' there"),
        ({"labels": ["a", "b", "c", "d", "e"]}, "labels is"),
        ({"trained_on": {"data": "synthetic:tiny", "manifest_hash": "ab" * 32, "subjects": ["synthetic:s1"]}}, "manifest_hash is"),
        ({"trained_on": {"data": "casme2", "manifest_hash": "ab" * 32, "subjects": ["casme2:01"]}}, "data is 'casme2'"),
    ],
)
def test_weights_that_are_not_of_the_run_are_refused(trained: Path, tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        prepare(rewritten(trained, tmp_path / "run", **changed), "a/b")


def test_weights_that_do_not_load_strictly_are_refused(trained: Path, tmp_path: Path) -> None:
    tensors, card = read(trained / "weights.safetensors")
    first = next(iter(tensors))
    with pytest.raises(WeightsError, match="missing key"):
        prepare(rewritten(trained, tmp_path / "less", {key: value for key, value in tensors.items() if key != first}), "a/b")
    with pytest.raises(WeightsError, match="extra key more"):
        prepare(rewritten(trained, tmp_path / "more", {**tensors, "more": torch.zeros(1)}), "a/b")
    nobody = {**card["trained_on"], "subjects": []}
    with pytest.raises(WeightsError, match="whom it was trained on"):
        prepare(rewritten(trained, tmp_path / "nobody", trained_on=nobody), "a/b")
    torch.save(tensors, copied(trained, tmp_path / "pickle") / "weights.safetensors")
    with pytest.raises(WeightsError, match="pickle"):
        prepare(tmp_path / "pickle", "a/b")
    (copied(trained, tmp_path / "stopped") / "weights.safetensors").unlink()
    with pytest.raises(RunError, match="not finished"):
        prepare(tmp_path / "stopped", "a/b")


def test_a_model_that_is_another_one_here_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        prepare(rewritten(copied(trained, tmp_path / "a", model="no-such-net"), tmp_path / "b", model="no-such-net"), "a/b")
    facts = json.loads((trained / "run.json").read_text())
    options = {**facts["options"], "backbone": {"size": 56}}
    with pytest.raises(RunError, match=r"options\.backbone\.size is 56 there and 112 here"):
        prepare(copied(trained, tmp_path / "c", options=options), "a/b")


def test_only_names_that_the_hub_takes(trained: Path) -> None:
    for repo in ("a", "a/b/c", "../b", "a/..b", "a/b--c", "a/b.git", "a/b\x1b", "-a/b", "a/" + "b" * 97, "a b/c", ""):
        with pytest.raises(UsageError, match="--repo ORG/NAME"):
            check_repo(repo)
    check_repo("Org-1/Name_2.x")


def test_ids_of_ones_own_people_are_not_published_unknowingly(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = renamed(trained, tmp_path / "own", "csv", ["csv:anna", "csv:ben"])
    assert main(["publish", str(own), "--repo", "a/b"]) == 2
    assert "the ids of 2 people in data of your own, such as csv:anna; if these are no names, give --publish-subjects" in capsys.readouterr().err
    made = prepare(own, "a/b")
    assert made.own_subjects == made.subjects == ("csv:anna", "csv:ben")
    assert "clips of the publisher's own" in made.texts["README.md"] and "rendered faces alone" not in made.texts["README.md"]


def test_a_folder_of_something_else_is_not_written_into(trained: Path, tmp_path: Path) -> None:
    made = prepare(trained, "a/b")
    made.write(tmp_path / "out")
    made.write(tmp_path / "out")  # its own folder is written again
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"thesis\.tex"):
        made.write(tmp_path / "out")


def test_every_refusal_is_one_line(trained: Path, tmp_path: Path, site: Any, one_line: Callable[..., str]) -> None:
    for arguments in ((str(tmp_path), "--repo", "a/b"), (str(trained), "--repo", "no name"), (str(trained), "--repo", "a/b", "--out", str(tmp_path))):
        one_line(site.merzoo("publish", *arguments))
    for arguments, told in ((("--force",), "give --scores, or leave out --force"), (("--dry-run", "--out", ""), "--out '' names no folder")):
        assert told in one_line(site.merzoo("publish", str(trained), "--repo", "a/b", *arguments))
    assert not (site.root / "README.md").exists()
    assert issubclass(UsageError, MerzooError)
