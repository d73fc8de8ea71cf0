"""What is said of each model: its runs, their curves, what it costs, its paper beside what was measured again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from merzoo.data.perturb import KINDS
from merzoo.leaderboard.joined import data_name, device_name, floor_share, measured, measures, mode, panel_ids, reported
from merzoo.leaderboard.wording import amount, milliseconds, percent
from merzoo.text import byte_count

STATUS = {
    "consistent": "every score was made again from the predictions in its file and equals the claim; data set, folds, labels and weights are what the file "
    "says",
    "consistent with itself": "of a cost file: every figure of time was made again from its times, and none has a fault. The times, FLOPs and bytes are the "
    "word of whoever made the file",
    "re-run": "consistent, and somebody else ran the same and agrees: the interval of the paired difference holds 0",
    "own run": "a run folder of whoever built this board, whose data set could not be opened: scores are made from its predictions, labels are its word",
}
COST_HEAD = (
    *("scenario", "how", "p50 [95 %], ms", "p95, ms", "p99, ms", "IQR / p50", "outliers", "items / s"),
    *("peak memory", "energy", "of floor", "warm-up", "lost to fp32"),
)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """A panel a model, by name: {id, name, runs: [(position of the group, group, row)], costs, paper, bibtex, reported, fidelity, robustness, few_shot}."""
    found: dict[str, dict[str, Any]] = {}
    for at, group in enumerate(board["groups"]):
        for row in group["rows"] + group["references"]:
            found.setdefault(row["model"], {"runs": [], "costs": []})["runs"].append((at, group, row))
    for cost in board["costs"]:
        found.setdefault(cost["model"], {"runs": [], "costs": []})["costs"].append(cost)
    ids = panel_ids(found)
    for one in found.values():
        one["runs"].sort(key=lambda run: -len(run[1]["rows"]))  # what most others ran too comes first
    return [{"id": ids[name], "name": name, **_about(one), **one} for name, one in sorted(found.items())]


def cost_rows(cost: dict[str, Any]) -> Iterator[list[str]]:
    """A row of text a measurement, as `COST_HEAD` names its cells. The batches of one sweep stand in one row, that of its knee."""
    sweeps: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for m in cost["measurements"]:
        alone = id(m) if m["scenario"] != "throughput" else None
        sweeps.setdefault((m["scenario"], m["precision"], m["layout"], m["mode"], alone), []).append(m)
    for sweep in sweeps.values():
        yield _cost_row(next((m for m in sweep if m.get("knee")), sweep[-1]), sweep)


def bibtex(paper: dict[str, Any]) -> str:
    """A BibTeX entry of a paper {title, authors, year, arxiv}; braces and line ends of the fields go, so that none can end another."""
    fields = {"title": paper["title"], "author": " and ".join(_authors(paper)), "year": paper.get("year")}
    if paper.get("arxiv"):
        fields |= {"eprint": paper["arxiv"], "archiveprefix": "arXiv", "url": f"https://arxiv.org/abs/{paper['arxiv']}"}
    surname = (_authors(paper) or ["anonymous"])[0].split()[-1:] or ["anonymous"]
    word = next((w for w in re.findall(r"\w+", paper["title"]) if len(w) > 3), "paper")
    key = "".join(c for c in unicodedata.normalize("NFKD", f"{surname[0]}{paper.get('year') or ''}{word}".lower()) if c.isascii() and c.isalnum())
    width = max(len(name) for name in fields)
    said = [f"  {name:<{width}} = {{{_bib(value)}}}" for name, value in fields.items() if value]
    return f"@misc{{{key},\n" + ",\n".join(said) + "\n}"


def citation(paper: dict[str, Any]) -> str:
    """The same as a sentence."""
    year = f" ({paper['year']})" if paper.get("year") else ""
    arxiv = f" arXiv:{paper['arxiv']}." if paper.get("arxiv") else ""
    return f"{paper.get('authors') or 'Anonymous'}{year}. {paper['title'].rstrip('.')}.{arxiv}"


def _about(one: dict[str, Any]) -> dict[str, Any]:
    """What a panel says beyond its runs and costs; paper and fidelity are those of the newest run that has them."""
    made = sorted((row for _, _, row in one["runs"]), key=lambda row: row["created"], reverse=True)
    paper = next((row["paper"] for row in made if row["paper"]), None)
    return {
        "paper": paper,
        "fidelity": next((row["fidelity"] for row in made if row["fidelity"]), []),
        "bibtex": bibtex(paper) if paper else "",
        "citation": citation(paper) if paper else "",
        "reported": list(_reported(one)),
        "robustness": [curves for _, group, row in one["runs"] if (curves := _robustness(group, row))],
        "few_shot": _few_shot(one["runs"]),
    }


def _reported(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each number of the paper, with the runs that measured it again: [(preset, score, status)]."""
    seen = set()
    for _, _, row in one["runs"]:
        for number in reported(row):
            key = tuple(sorted((name, str(value)) for name, value in number.items()))
            if key in seen:
                continue
            seen.add(key)
            again = [run for _, _, run in one["runs"] if measures(number, run)]
            scores = [(_scores_of(run, number.get("part")).get(number["metric"]), run) for run in again]
            yield {**number, "measured": [(run["preset"], score, run["status"]) for score, run in scores if score]}


def _scores_of(run: dict[str, Any], part: str | None) -> dict[str, Any]:
    """Scores of a run, or of one data set of its composite."""
    return run.get("slices", {}).get(part, {}).get("scores", {}) if part else run["scores"]


def _robustness(group: dict[str, Any], row: dict[str, Any]) -> dict[str, Any] | None:
    """{"name", "plots": a curve a kind, from clean clips on} of a run that met harder clips."""
    metric = group["metrics"][0]
    kinds: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for condition, scores in row.get("perturbed", {}).items():
        kind, _, level = condition.partition("=")
        kinds.setdefault(kind, [("clean", row["scores"][metric])]).append((level, scores[metric]))
    plots = [_plot(kind, KINDS[kind].unit if kind in KINDS else "", [(row["model"], points)], metric) for kind, points in kinds.items()]
    return {"name": f"{data_name(group['data'])}, {group['protocol']['name']}, preset {row['preset']}", "plots": plots} if plots else None


def _few_shot(runs: list[tuple[int, dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A curve of a model over K = 1, 3, 5 … a data set, a line a preset."""
    found: dict[tuple[Any, ...], dict[str, dict[int, Any]]] = {}
    for _, group, row in runs:
        if shots := re.fullmatch(r"few-shot-(\d+)(x\d+)?", group["protocol"]["name"]):  # with as many draws
            data = (data_name(group["data"]), group["data"]["manifest_hash"], group["metrics"][0], shots[2])
            found.setdefault(data, {}).setdefault(row["preset"], {}).setdefault(int(shots[1]), row["scores"][data[2]])
    few = []
    for (name, _, metric, _), presets in found.items():
        drawn = [(preset, [(str(k), score) for k, score in sorted(points.items())]) for preset, points in presets.items()]
        few.append({"name": name, "plots": [_plot("few clips", "labelled clips a class (K)", drawn, metric)]})
    return few


def _plot(title: str, unit: str, drawn: list[tuple[str, list[tuple[str, dict[str, float]]]]], metric: str) -> dict[str, Any]:
    """{"title", "unit", "metric", "lines": [{"name", "x": [text], "y": [[value, low, high]]}]}."""
    made = [{"name": name, "x": [x for x, _ in points], "y": [[s["value"], s["low"], s["high"]] for _, s in points]} for name, points in drawn]
    return {"title": title, "unit": unit, "metric": metric, "lines": made}


def _cost_row(m: dict[str, Any], sweep: list[dict[str, Any]]) -> list[str]:
    summary, check, warm = m["summary"], m.get("check"), m.get("warm_up")
    how = [m["precision"], mode(m), f"batch {m['batch']}" if m["batch"] else None, *(f"{key} {value}" for key, value in m["about"].items())]
    low, high = summary["p50_interval"]
    rates = "; ".join(f"{one['batch']}: {amount(one['per_second'])}" for one in sweep) if len(sweep) > 1 else amount(m["per_second"])
    return [
        m["scenario"],
        ", ".join(text for text in how if text),
        f"{milliseconds(summary['p50'])} [{milliseconds(low)}, {milliseconds(high)}]",
        milliseconds(summary["p95"]),
        milliseconds(summary["p99"]),
        percent(summary["iqr"] / summary["p50"] if summary["p50"] else None),
        f"{summary['outliers']:,} of {summary['count']:,}",
        rates,
        "–" if m["peak_bytes"] is None else byte_count(m["peak_bytes"]),
        "–" if m["energy_joules"] is None else f"{amount(m['energy_joules'])} J",
        percent(floor_share(m)),
        f"{warm['calls']:,} calls{'' if warm['steady'] else ', not steady'}" if warm else "–",
        "–" if not check else f"{check['error']:.0e}, {check['tolerance']:.0e} allowed",
    ]


def train_step(costs: list[dict[str, Any]]) -> str:
    """Times of one training step, of each machine and precision."""
    found = [(device_name(cost), m) for cost in costs for m in measured(cost, "train-step")]
    hows = [(m, ", ".join(str(said) for said in (device, m["precision"], m["mode"]) if said)) for device, m in found]
    return "; ".join(f"{milliseconds(m['summary']['p50'])} ms ({how}, batch {m['batch']})" for m, how in hows)


def _authors(paper: dict[str, Any]) -> list[str]:
    return [name.strip() for name in re.split(r",| and ", paper.get("authors") or "") if name.strip()]


def _bib(value: object) -> str:
    return " ".join(re.sub(r"[{}\\]", "", str(value)).split())
