"""The model card: what it says of a model, and that nobody's text becomes more than text."""

from __future__ import annotations

import html
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from published_runs import copied, head, renamed

from merzoo.describe import tree
from merzoo.errors import UsageError
from merzoo.evaluation.runs import RunFolder
from merzoo.evaluation.splits import loso
from merzoo.publish.folder import prepare
from merzoo.publish.markdown import bibtex, escaped
from merzoo.publish.sources import own_subjects, sources
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.testing.runs import clip_table, record
from merzoo.text import plain
from merzoo.weights import read, write

IMAGE, TAG = "![x](http://evil.example/x.png)", "--- !!python/object:os.system"
HOSTILE = ("<script>alert(1)</script>", "a | b", IMAGE, TAG, "</table> & **bold** `code`", "{{ 7 * 7 }}")
ROOT = Path(__file__).parents[1]


def test_the_same_runs_make_the_same_card(trained: Path, evaluated: Path) -> None:
    one, two = (prepare(trained, "a/b", evaluated) for _ in range(2))
    assert one == two
    text = one.texts["README.md"]
    for expected in ("supervised: epochs 2, batch\\_size 32", "2 steps; loss", "synthetic:tiny", "1902.03634", "Sze-Teng Liong and Y.S. Gan"):
        assert expected in text
    assert "What that paper reports" not in text  # it reports nothing of two epochs
    assert str(trained.parent) not in text + one.texts["config.json"]  # nothing of where it lay


def hostile_runs(folder: Path) -> tuple[Path, Path]:
    """A training and an evaluation whose every text somebody chose with care."""
    spec = registry().model("ststnet")
    torch.manual_seed(0)
    network = assemble(spec, "small", HOSTILE, for_training=False)
    table = clip_table().assign(emotion=[HOSTILE[i % len(HOSTILE)] for i in range(len(clip_table()))])
    subjects = sorted(set(table["subject"]))
    options = json.loads(json.dumps(tree(spec.preset("small"))))
    parts = {"backbone": spec.backbone, "head": spec.head, "auxiliary": [], "strategy": spec.strategy}
    shared = {
        "model": "ststnet", "preset": "small", "parts": parts, "options": options, "views": {"train": {}, "test": {}}, "weights": None, "task": "classes",
        "data": {"name": HOSTILE[0], "part": HOSTILE[2], "macro": None, "manifest_hash": HOSTILE[4], "samples": 30, "subjects": 6},
        "labels": list(HOSTILE), "seeds": [0], "precision": HOSTILE[1],
        "environment": {"device": HOSTILE[2], "cpu": HOSTILE[0], "threads": 1, "torch": HOSTILE[4]},
    }  # fmt: skip
    train_run = RunFolder.create(folder / "train", {"kind": "training", **shared}).path
    trained_on = {"data": f"{HOSTILE[0]}:{HOSTILE[2]}", "manifest_hash": HOSTILE[4], "subjects": subjects}
    told = {"model": "ststnet", "preset": "small", "labels": HOSTILE, "task": "classes", "trained_on": trained_on}
    write(train_run / "weights.safetensors", network.saved(), told)
    run = RunFolder.create(folder / "evaluation", {"kind": "evaluation", "protocol": loso(table).to_json(), **shared})
    for fold in run.protocol.folds:
        made = record(table.assign(emotion="negative"), fold, 0)
        rows = table.set_index("sample_id")["emotion"]
        for at, one in enumerate(made["predictions"]):
            one |= {"label": rows[one["sample_id"]], "probabilities": [float(at % len(HOSTILE) == i) for i in range(len(HOSTILE))]}
        run.write_fold(0, fold.fold_id, made)
    return train_run, run.path


def test_nobodys_text_becomes_markup(tmp_path: Path) -> None:
    train_run, run = hostile_runs(tmp_path)
    made = prepare(train_run, "a/b", run)
    card = ModelCard(made.texts["README.md"])
    assert set(head(str(card))) == {"library_name", "license", "license_name", "metrics", "pipeline_tag", "tags", "model-index"}
    assert card.data.eval_results[0].dataset_config == HOSTILE[2]
    page = MarkdownIt("commonmark").enable("table").render(card.text)
    for tag in ("<script", "<img", "</table> &", "evil.example/x.png\"", "<a ", "<strong>bold"):
        assert tag not in page, tag
    for text in HOSTILE:
        assert f"<strong>{html.escape(text)}</strong>" in page  # a row of the confusion matrix
    assert page.count("<table>") == page.count("</table>") == 9


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_whatever_is_escaped_is_shown_as_it_is(text: str) -> None:
    page = MarkdownIt("gfm-like", {"linkify": False}).render(f"a {escaped(text)} b")
    assert page == f"<p>a {html.escape(plain(text)).replace('&#x27;', chr(39))} b</p>\n"


@pytest.mark.parametrize("text", [r"\(x\)", r"\[x\]", "\\\\(x\\\\)", "$$x$$"])
def test_nobodys_text_becomes_a_formula(text: str) -> None:
    assert not any(mark in escaped(text) for mark in (r"\\(", r"\\[", "$$"))
    assert MarkdownIt().render(escaped(text)) == f"<p>{text}</p>\n"


@given(st.text(max_size=40))
def test_a_bibtex_field_ends_where_it_should(text: str) -> None:
    field = bibtex(text)
    assert field.count("{") == field.count("}") == 1 and field.startswith("{") and field.endswith("}") and "\n" not in field


def test_whose_ids_may_be_names() -> None:
    def data(name: str, macro: str | None = None, part: str = "") -> dict[str, Any]:
        return {"name": name, "part": part, "macro": macro}

    assert [source.kind for source in sources(data("megc2019"))] == ["licensed"] * 3
    assert [source.name for source in sources(data("cross-emotions", None, "casme2,samm"))] == ["casme2", "samm"]
    assert [source.kind for source in sources(data("csv", "dfew:7"))] == ["own", "licensed"]
    assert [source.kind for source in sources(data("synthetic"))] == ["synthetic"]
    assert [source.name for source in sources(data("synthetic"), ["samm:006", "synthetic:s1"])] == ["synthetic", "samm"]  # of the weights it began from
    ids = ["csv:anna", "casme2:01", "dfew:x", "synthetic:s1"]
    assert own_subjects(ids, sources(data("csv", "dfew:7"))) == ("csv:anna", "casme2:01")  # a table may call its people anything
    assert own_subjects(ids[1:], sources(data("casme2"))) == ()
    assert own_subjects(["mine:1"], sources(data("somebodys-set"))) == ("mine:1",)


def test_licensed_data_are_said_to_be_elsewhere_and_decide_the_licence(trained: Path, tmp_path: Path) -> None:
    run = renamed(trained, tmp_path / "casme", "casme2", ["casme2:01"])
    made = prepare(run, "a/b")
    card = made.texts["README.md"]
    assert "No recording is in this repository" in card and "sign the licence agreement on the CASME II page" in card
    assert head(card)["license"] == "other" and head(card)["license_name"] == made.config.licence == "terms-of-the-training-data"
    assert "synthetic-data" not in head(card)["tags"] and "A movement of the face is not an emotion" in card
    chosen = prepare(run, "a/b", licence="cc-by-nc-4.0")
    assert head(chosen.texts["README.md"])["license"] == chosen.config.licence == "cc-by-nc-4.0"
    with pytest.raises(UsageError, match="--licence"):
        prepare(run, "a/b", licence="my licence\n")


def test_scores_on_other_data_say_so(trained: Path, evaluated: Path, tmp_path: Path) -> None:
    run = renamed(trained, tmp_path / "casme", "casme2", ["casme2:01"])
    run = copied(run, tmp_path / "other", data={**json.loads((run / "run.json").read_text())["data"], "manifest_hash": "cd" * 32})
    tensors, card = read(run / "weights.safetensors")
    write(run / "weights.safetensors", tensors, {**card, "trained_on": {**card["trained_on"], "manifest_hash": "cd" * 32}})
    text = prepare(run, "a/b", evaluated).texts["README.md"]
    assert "trained and tested on synthetic:tiny; this file was trained on casme2, which are other data" in text


def test_places_on_this_machine_are_not_on_the_card(trained: Path, evaluated: Path) -> None:
    made = prepare(trained, "a/b", evaluated, why_no_data="casme2: /home/anna/data is no folder; give --root DIR")
    assert "anna" not in made.texts["README.md"] and "the data set was not at hand" in made.texts["README.md"]


def test_merzoo_is_cited_as_it_asks_to_be(trained: Path) -> None:
    wanted = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    card = prepare(trained, "a/b").texts["README.md"]
    assert f"title = {{{wanted['title']}}}" in card and f"author = {{{{{wanted['authors'][0]['name']}}}}}" in card
    assert f"version = {{{wanted['version']}}}" in card


def test_the_template_is_part_of_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["merzoo"]
    package = ROOT / "merzoo"
    assert package / "publish" / "card.md.tmpl" in {path for pattern in patterns for path in package.glob(pattern)}
