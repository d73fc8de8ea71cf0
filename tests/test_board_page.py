"""The board's page as text: what stands in it, what may run in it, and that strangers' text stays text. What it does in a browser: test_board_browser.py."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_boards import CPU, GPU, MODELS, Page, cost, made_board

from merzoo.leaderboard import joined, page, panels, wording

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return made_board(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def text(board: dict[str, Any]) -> str:
    return page.html(board)


def test_only_scripts_that_the_policy_names_by_their_hash_may_run(text: str) -> None:
    found = Page(text)
    (policy,) = [made["content"] for tag, made in found.attributes if tag == "meta" and made.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    run = [script for kind, script in found.scripts if kind is None]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in run]
    assert re.search(r"script-src ([^;]*)", policy)[1].split() == hashes and len(run) == len(page.SCRIPTS)  # type: ignore[index]
    assert [kind for kind, _ in found.scripts if kind] == ["application/json"]


def test_the_page_stands_alone_and_its_links_arrive(text: str) -> None:
    found = Page(text)
    assert {"link", "img", "iframe", "object", "base"}.isdisjoint(found.tags)
    assert not any(name.startswith("on") for _, made in found.attributes for name in made)
    assert len(found.ids) == len(set(found.ids))
    assert found.links and {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert len(text.encode()) < 2e6


def test_the_same_board_gives_the_same_bytes_and_is_not_touched(board: dict[str, Any], text: str) -> None:
    before = json.dumps(board)
    assert page.html(json.loads(before)) == text and json.dumps(board) == before


def test_a_row_for_each_run_and_latency_of_its_model_and_preset(board: dict[str, Any]) -> None:
    rows = joined.lines(board)
    loso = [line for line in rows if line.run and line.run["protocol"]["name"] == "loso" and line.run["data"]["name"] == "toy"]
    streams = [line.filters() for line in loso if line.named["model"] == "streams"]
    assert [(row["device"], row["precision"], row["mode"]) for row in streams] == [
        (CPU, "fp32", "eager"),
        (CPU, "bf16", "eager"),
        (GPU, "fp32", "eager"),
        (GPU, "bf16", "eager"),
        (GPU, "bf16", "cuda-graph"),
    ]
    assert [line.cost for line in loso if line.named["model"] == "resnet18-apex"] == [None]
    alone = [line for line in rows if line.run is None]
    assert {line.named["model"] for line in alone} == {"giant"} and {line.group for line in alone} == {len(board["groups"])}
    assert rows[-len(alone) :] == alone
    for line in loso:
        if line.latency:
            assert line.throughput is not None and line.throughput["knee"] and line.throughput["precision"] == line.latency["precision"]


def test_a_network_of_other_options_is_not_what_was_timed(board: dict[str, Any]) -> None:
    made: Any = copy.deepcopy(board)
    run = next(row for group in made["groups"] for row in group["rows"] if row["model"] == "deepnet")
    run["options"] = {"backbone": {"depth": 9}, "strategy": {}}
    of = [line for line in joined.lines(made) if line.named["model"] == "deepnet"]
    assert [line.cost for line in of if line.run] == [None] and [line.run for line in of if line.cost] == [None] * 5
    run["options"] = {"strategy": {"epochs": 1}}
    assert all(line.run for line in joined.lines(made) if line.named["model"] == "deepnet")


def test_numbers_of_a_row_in_the_units_that_it_shows(board: dict[str, Any]) -> None:
    line = next(line for line in joined.lines(board) if line.named["model"] == "streams" and line.reported())
    assert line.run and line.cost and line.latency
    numbers = line.numbers()
    assert numbers["score"] == line.run["scores"]["uf1"]["value"]
    assert numbers["oracle"] == line.run["oracle"]["best_epoch_per_fold"]["uf1"]
    assert numbers["p50"] == pytest.approx(line.latency["summary"]["p50"] / 1000) and numbers["floor"] == pytest.approx(0.3)
    assert (numbers["reported"], numbers["flops"], numbers["seeds"]) == (0.735, 1_270_000_000, 3)
    bare = joined.Line(0, None, {**line.cost, "measurements": []})
    assert {name for name, value in bare.numbers().items() if value is not None} == {"parameters", "flops"}


def test_costs_are_the_word_of_whoever_made_them(board: dict[str, Any]) -> None:
    alone = page.html({**board, "groups": []})
    assert re.search(r'<td class="c-status"><span class="chip consistent-with-itself">consistent with itself</span>', alone)
    assert "measured by Ada" in alone and "maker’s word" in alone and 'class="mark"' not in alone
    assert {line.filters()["status"] for line in joined.lines({**board, "groups": []})} == {"consistent with itself"}
    made = copy.deepcopy(board)
    made["costs"][0]["noise"]["noisy"] = True
    made["costs"][0]["measurements"][0]["warm_up"]["steady"] = False
    marked = page.html(made)
    assert 'title="noisy machine: ' in marked and '<span class="sr">noisy machine</span>' in marked
    assert marked.count('<span class="sr">not steady</span>') >= 1


def test_machines_and_layouts_that_differ_are_told_apart() -> None:
    made = {"device": "cpu", "environment": {"device": "cpu", "cpu": "EPYC", "threads": 8}}
    assert joined.device_name(made) == "EPYC, 8 threads" and joined.device_name({**made, "device": GPU}) == GPU
    assert [joined.mode({"mode": "eager", "layout": layout}) for layout in (None, "channels-last", "contiguous")] == ["eager", "eager", "eager, contiguous"]


def test_filters_begin_at_the_largest_group_in_fp32_and_eager(board: dict[str, Any]) -> None:
    chosen = joined.defaults(board, joined.lines(board))
    assert chosen == {"data": "toy:benchmark", "protocol": "loso", "preset": "", "device": GPU, "precision": "fp32", "mode": "eager", "status": ""}
    scores_alone = {**board, "costs": []}
    assert joined.defaults(scores_alone, joined.lines(scores_alone))["device"] == ""
    costs_alone = {**board, "groups": []}
    assert joined.defaults(costs_alone, joined.lines(costs_alone)) == {**dict.fromkeys(joined.FILTERS, ""), "device": GPU, "precision": "fp32", "mode": "eager"}


def test_boards_of_scores_alone_costs_alone_and_nothing(board: dict[str, Any]) -> None:
    scores, costs = page.html({**board, "costs": []}), page.html({**board, "groups": []})
    assert 'id="picture"' not in scores and 'c-p50"' not in scores and "streams" in scores
    assert "Costs without a score" in costs and "giant" in costs
    assert "<table" not in page.html({"schema": 2, "groups": [], "costs": [], "left_out": []}).split("<body>")[1]


def test_groups_stand_apart_with_what_makes_them_so(text: str) -> None:
    body = text.split('id="board"')[1]
    headings = re.findall(r'data-group="(\d)"', body)
    assert headings == ["0", "1", "2", "3", "4"]
    assert "96 of 108 samples, 12 subjects, 12 folds, 3 classes" in body
    assert body.index("References, not competitors") < body.index("chance") < body.index("Costs without a score") < body.index("giant")


@pytest.mark.parametrize("where", ["model", "labels", "by", "device", "bibtex", "fidelity", "left_out", "preset", "perturbed"])
def test_strangers_text_stays_text(board: dict[str, Any], where: str) -> None:
    made: Any = copy.deepcopy(board)
    group = next(group for group in made["groups"] if group["references"])
    row = next(row for row in group["rows"] if row["model"] == "streams")
    if where == "labels":
        group["labels"][0] = EVIL
        for one in group["rows"] + group["references"]:
            one["per_class"][EVIL] = one["per_class"].pop("negative")
    elif where == "device":
        made["costs"][0]["device"] = EVIL
    elif where == "bibtex":
        row["paper"] = {"title": f"A}} {EVIL} \n@misc{{b,", "authors": EVIL, "year": None, "arxiv": EVIL, "reported": []}
    elif where == "fidelity":
        row["fidelity"] = [["", EVIL], ["a", EVIL]]
    elif where == "left_out":
        made["left_out"] = [{"run": EVIL, "reason": EVIL}]
    elif where == "perturbed":
        row["perturbed"] = {f"{EVIL}={EVIL}": row["scores"]}
    else:
        row[where] = EVIL
    text = page.html(made)
    found = Page(text)
    assert [kind for kind, _ in found.scripts] == ["application/json"] + [None] * len(page.SCRIPTS)
    assert not any(script.startswith("alert") for _, script in found.scripts)
    assert "&lt;script&gt;alert(1)" in text


def test_json_between_script_tags_cannot_end_them() -> None:
    value = {"</script><!--": "a & b > c\u2028\u2029"}
    made = page.for_script(value)
    assert not re.search("[<>&\u2028\u2029]", made) and json.loads(made) == value


def test_oracle_is_named_and_marked_to_be_hidden(text: str) -> None:
    found = Page(text)
    classes = [made.get("class") or "" for _, made in found.attributes]
    assert sum("c-oracle oracle" in name for name in classes) > 3
    for piece in re.findall(r"[^<>]*oracle[^<>]*<", text.split("<body>")[1].split('<script type="application/json"')[0]):
        assert piece.startswith(("oracle", "no result: the epoch chosen on the test data", " Show oracle (epoch chosen on the test data, no result)")), piece


def test_a_panel_a_model(board: dict[str, Any]) -> None:
    found = {panel["name"]: panel for panel in panels.panels(board)}
    assert set(found) == {*MODELS, "chance", "giant"}
    streams = found["streams"]
    assert streams["runs"][0][1]["data"]["name"] == "toy" and len(streams["runs"]) == 4
    assert [plot["title"] for plot in streams["robustness"][0]["plots"]] == ["pixel-noise", "jpeg"]
    assert streams["robustness"][0]["plots"][0]["lines"][0]["x"] == ["clean", "5", "10", "20"]
    assert streams["few_shot"][0]["plots"][0]["lines"][0]["x"] == ["1", "3"]
    known, unknown = streams["reported"]
    assert known["value"] == 0.735 and [(preset, status) for preset, _, status in known["measured"]] == [("small", "re-run")]
    assert unknown["value"] is None and unknown["measured"] == []


def test_ids_of_panels_hold_for_good_and_for_any_name() -> None:
    ids = joined.panel_ids(["deep-net", "Deep net", EVIL, "deep net", "ü", "model,a.b=1"])
    assert ids["deep-net"] == "model-deep-net" == joined.panel_ids(["deep-net"])["deep-net"]
    assert len(set(ids.values())) == 6 and all(re.fullmatch(r"model-[a-z0-9._~-]+", made) for made in ids.values())


def test_every_measurement_stands_in_the_table_of_costs() -> None:
    made = cost("net", "small", GPU, 2.0)
    rows = list(panels.cost_rows(made))
    assert all(len(row) == len(panels.COST_HEAD) for row in rows)
    assert [row[0] for row in rows] == ["latency", "throughput"] * 3 + ["train-step", "load", "views"]
    assert re.fullmatch(r"1: \S+; 8: \S+; 64: \S+", rows[1][7])
    assert rows[0][-1] == "1e-05, 1e-03 allowed" and rows[0][10] == "30 %" and rows[0][9] == "0.0500 J"


def test_making_the_input_has_a_column_of_its_own() -> None:
    made = cost("net", "small", GPU, 2.0)
    (line,) = [one for one in joined.lines({"groups": [], "costs": [made]}) if one.filters()["precision"] == "fp32"][:1]
    views = [one["summary"]["p50"] for one in made["measurements"] if one["scenario"] == "views"]
    assert line.numbers()["views"] == pytest.approx(sum(views) / 1e3) and views
    assert joined.Line(0, None, {**made, "measurements": []}).numbers()["views"] is None


def test_citations() -> None:
    paper = {"title": "On {Flow}, and\nmore", "authors": "Ada Müller, B. C. Li and D Ō", "year": 2019, "arxiv": "1902.03634", "reported": []}
    made = panels.bibtex(paper)
    assert made.startswith("@misc{muller2019flow,\n") and made.count("{") == made.count("}") == 7
    assert "author        = {Ada Müller and B. C. Li and D Ō}" in made and "title         = {On Flow, and more}" in made
    assert panels.citation(paper).endswith("(2019). On {Flow}, and\nmore. arXiv:1902.03634.")
    assert panels.bibtex({"title": "?", "authors": "", "year": None, "arxiv": ""}) == "@misc{anonymouspaper,\n  title  = {?}\n}"


def test_numbers_as_people_say_them() -> None:
    assert [wording.amount(n) for n in (None, 0, 0.0042, 0.385, 2.14, 35.06, 999.4, 1240.2, 1.2e-5)] == [
        *("–", "0", "0.00420", "0.385", "2.14", "35.1", "999", "1,240", "1.20e-05")
    ]
    assert wording.milliseconds(385.4) == "0.385" and [wording.percent(s) for s in (None, 0, 1e-5, 0.004, 0.0996, 1)] == [
        *("–", "0.0 %", "< 0.1 %", "0.4 %", "10 %", "100 %")
    ]


def test_licences_of_what_is_embedded_lie_beside_it() -> None:
    vendor = Path(page.__file__).parent / "vendor"
    about = (vendor / "README.md").read_text()
    for script in vendor.glob("*.js"):
        licence = vendor / script.name.replace(".min.js", ".js").replace(".js", ".LICENSE.txt")
        version = re.search(r"(?:DataTables|minified\)) v?(\d+\.\d+\.\d+)", script.read_text()[:300])
        assert "MIT" in licence.read_text() and version is not None and version[1] in about
