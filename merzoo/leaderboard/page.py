"""The board as a page. All text in it is strangers' text: the page escapes it, and lets no script run but its own, each named by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from merzoo.evaluation.scores import TITLES
from merzoo.leaderboard import joined, panels, wording
from merzoo.text import byte_count

SCRIPTS = ("vendor/dataTables.min.js", "vendor/plotly-basic.min.js", "board_table.js", "board_picture.js", "board_panels.js")
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def html(board: dict[str, Any]) -> str:
    """The whole page as one text: it opens from disk and loads nothing. The same board gives the same bytes.

    Without scripts it is a table and the panels below it. Its policy allows the scripts embedded here, by their SHA-256, and nothing else.
    """
    table, about = joined.lines(board), panels.panels(board)
    scripts = [_script(name) for name in SCRIPTS]
    facts = {
        "board": board,
        "lines": table,
        "panels": about,
        "ids": {panel["name"]: panel["id"] for panel in about},
        "options": joined.options(table),
        "columns": _columns(board, table),
        "status": panels.STATUS,
        "cost_head": panels.COST_HEAD,
        "titles": TITLES,
        "style": _read("board.css"),
        "scripts": scripts,
        "policy": " ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        "data": for_script(_for_scripts(board, table, about)),
    }
    return _environment().get_template("board.html").render(facts)


def for_script(value: Any) -> Markup:
    """JSON that may stand between script tags: no character in it can end them or open another."""
    return Markup(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES))


@cache
def _environment() -> Environment:
    made = Environment(loader=PackageLoader("merzoo.leaderboard", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own = {name: getattr(wording, name) for name in ("interval", "count", "duration", "training", "milliseconds", "amount", "percent")}
    own |= {"tested": wording.clips_tested, "called": lambda metric: TITLES.get(metric, metric), "size": byte_count}
    own |= {"data_name": joined.data_name, "device_name": joined.device_name}
    own |= {"how": joined.mode, "floor": joined.floor_share, "cost_rows": panels.cost_rows, "train_step": panels.train_step}
    own |= {"of_cost": joined.cost_status}
    made.filters.update(own)
    return made


@cache
def _read(name: str) -> Markup:
    """A file that lies beside this one. What is embedded must not end the tag that it stands in."""
    text = resources.files("merzoo.leaderboard").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")
    assert not any(tag in text.lower() for tag in ("</script", "</style", "<!--")), f"{name} cannot be embedded"
    return Markup(text)


def _script(name: str) -> Markup:
    return Markup("\n") + _read(name).strip() + Markup("\n")


@cache
def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _columns(board: dict[str, Any], table: list[joined.Line]) -> list[dict[str, Any]]:
    """The columns of the table, in order: {key, title, unit, about, number, first: which order a first click gives}."""
    mains = sorted({group["metrics"][0] for group in board["groups"]})
    score = " / ".join(TITLES.get(main, main) for main in mains) or "score"
    found = [
        ("model", "Model", "", "opens what is known of it", False),
        ("preset", "Preset", "", "size of the model: full is the paper's", False),
        ("where", "Data · protocol", "", "rows of different ones cannot be compared", False),
        ("score", score, "", "main score with its 95 % interval by bootstrap over subjects", "desc"),
        ("oracle", "oracle", "no result", "epoch chosen on the test data, fold by fold: what such a choice would have claimed", "desc"),
        ("uar", "UAR", "", "macro recall", "desc"),
        ("accuracy", "Acc.", "", "accuracy", "desc"),
        ("seeds", "Seeds", "", "runs with other random numbers, averaged", "desc"),
        ("parameters", "Params", "", "parameters", "asc"),
        ("flops", "FLOPs", "", "of one forward pass, 2 for each multiply-add", "asc"),
        ("views", "Input", "ms", "making the network's input from the frames of a clip, such as its optical flow; not in the latency beside it", "asc"),
        ("p50", "p50", "ms", "median latency of one forward pass at batch 1, and its 95 % interval", "asc"),
        ("p95", "p95", "ms", "latency that 95 of 100 calls stay below", "asc"),
        ("throughput", "Clips/s", "at the knee", "throughput at the batch size from which more brings little", "desc"),
        ("memory", "Memory", "peak", "most memory of tensors during one call, beyond what was held before it", "asc"),
        ("floor", "Of floor", "", "least time that the machine's roofline allows, as a share of p50: 100 % cannot be beaten", "desc"),
        ("training", "Training", "", "time of all stages of all folds and seeds", "asc"),
        ("device", "Device", "", "what latency was measured on", False),
        ("how", "Precision", "mode", "number format and how the network was run", False),
        ("status", "Status", "", "what this board could check", False),
        ("reported", "Paper", "reported", "what the paper reports for this data, protocol and preset", "desc"),
    ]
    there = {key for line in table for key, value in line.numbers().items() if value is not None}
    kept = [one for one in found if one[4] is False or one[0] in there or one[0] == "score"]
    return [dict(zip(("key", "title", "unit", "about", "first"), one, strict=True)) for one in kept]


def _for_scripts(board: dict[str, Any], table: list[joined.Line], about: list[dict[str, Any]]) -> dict[str, Any]:
    """What the scripts are told: a row a line of the table, the lines of references, the curves of each panel, and what the filters say at first."""
    ids = {panel["name"]: panel["id"] for panel in about}
    rows = []
    for line in table:
        score = line.run["scores"][line.main] if line.run and line.main else None
        row = {"group": line.group, "reference": line.reference, "model": line.named["model"], "panel": ids[line.named["model"]], "filters": line.filters()}
        rows.append(row | {"by": line.cost["by"] if line.cost else "", "numbers": line.numbers(), "interval": [score["low"], score["high"]] if score else None})
    groups = []
    for group in board["groups"]:
        main = group["metrics"][0]
        references = {row["model"]: row["scores"][main]["value"] for row in group["references"]}
        groups.append({"name": f"{joined.data_name(group['data'])}, {group['protocol']['name']}", "metric": TITLES.get(main, main), "references": references})
    curves = {panel["id"]: panel["robustness"] + panel["few_shot"] for panel in about if panel["robustness"] or panel["few_shot"]}
    return {"rows": rows, "groups": groups, "curves": curves, "defaults": joined.defaults(board, table), "metrics": TITLES}
