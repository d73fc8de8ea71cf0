"""The model card: what a sceptical reader asks of a model, told from the runs themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from merzoo.describe import tree
from merzoo.evaluation.catalogue import FILE, PROTOCOLS
from merzoo.evaluation.scores import TITLES
from merzoo.publish.licences import Licence
from merzoo.publish.markdown import Safe, code, escaped, table, template
from merzoo.publish.metadata import metadata
from merzoo.publish.scores import Scored
from merzoo.publish.trained import Trained
from merzoo.published import WEIGHTS, Config
from merzoo.specs import Paper

FEW_PEOPLE = 16  # below this, coverage of the intervals was not simulated
ORACLE = {"best_epoch_for_all": "one best epoch for all", "best_epoch_per_fold": "best epoch of each fold"}
ENVIRONMENT = ("merzoo", "torch", "numpy", "python")


def card(repo: str, trained: Trained, config: Config, scored: Scored | None, licence: Licence) -> str:
    """README.md of a published model: the head that the Hub reads, then Markdown. The same runs give the same text. repo: a checked name."""
    facts = trained.facts
    spec = trained.recognizer.spec
    numbers = scored.result if scored else None
    text = template("card.md.tmpl").render(
        name=repo.partition("/")[2],
        safe_repo=Safe(repo),
        summary=spec.summary,
        facts=facts,
        labels=trained.run.labels,
        multilabel=trained.run.task == "multi-label",
        failed=[{**check, "text": _fit(check)} for check in scored.failed] if scored else [],
        synthetic=trained.synthetic,
        trained_on=trained.trained_on,
        sources=trained.sources,
        plugins=["merzoo", *(f"{name} ({version})" for name, version in config.plugins.items() if name != "merzoo")],
        config=config,
        paper=spec.paper,
        licence=licence.text,
        scored=scored,
        fitted=trained.fitted,
        noun=trained.noun,
        others=_others(trained, scored) if scored else "",
        other_data=scored is not None and _other_data(trained, scored),
        remarks=[*_remarks(trained, scored)] if scored else [],
        how=_how(trained, scored, numbers) if scored and numbers else "",
        seeds=_seeds(scored) if scored else "",
        weak=[*_weak(numbers)] if numbers else [],
        truth=numbers["truth_sha256"] if numbers else "",
        folds_hash=scored.run.protocol.hash if scored else "",
        tables={**_tables(trained, config), **(_score_tables(trained, scored, numbers) if scored else {})},
    )
    return f"---\n{metadata(repo, trained, scored, licence.id, licence.name).to_yaml()}\n---\n\n{text}"


def _tables(trained: Trained, config: Config) -> dict[str, Safe]:
    facts, on, recognizer = trained.facts, trained.trained_on, trained.recognizer
    parts, data, machine, began = facts["parts"], facts["data"], facts["environment"], facts.get("weights")
    start = Safe(f"weights {escaped(began['tag'])}, sha256 {code(began['sha256'])}") if began else "random weights"
    where = f"{machine.get('device')} ({machine.get('cpu')}, {machine.get('threads')} threads)"
    looks = "; ".join(f"{name}: {' and '.join(view.kind for view in views)}" for name, views in recognizer.test_views.items())
    network = [
        ("parts", f"backbone {parts['backbone']}, head {parts['head']}" + "".join(f", auxiliary task {task}" for task in parts["auxiliary"])),
        ("options", _options({name: facts["options"][name] for name in ("backbone", "head", "auxiliary")})),
        ("fitted numbers" if trained.whole else "parameters", f"{sum(value.numel() for value in recognizer.saved().values()):,}"),
        ("what it sees", looks),
        ("faces", f"aligned by {config.preprocessing['aligner']}, crops of {config.preprocessing['size']} by {config.preprocessing['size']} pixels"),
        ("task", f"{'any number of labels' if trained.run.task == 'multi-label' else 'one class'} a clip: {', '.join(trained.run.labels)}"),
    ]
    fit = {name: value for name, value in settings(recognizer.head).items() if name not in ("training", "classes")} if trained.fitted else {}
    training = [
        ("strategy", ": ".join(filter(None, (parts["strategy"], _options(settings(recognizer.strategy), default=""))))),
        *((("what is fitted", f"{parts['head']}: {_options(fit)}"),) if fit else ()),
        *(() if trained.whole and not began else (("began from", start),)),
        *((f"stage {stage['name']}", _stage(stage)) for stage in trained.stages),
        ("seed", ", ".join(map(str, facts["seeds"]))),
        ("machine", where) if trained.fitted else ("precision and machine", f"{facts['precision']} on {where}"),
        ("software", ", ".join(f"{name} {machine[name]}" for name in ENVIRONMENT if name in machine)),
        ("begun", facts.get("created", "not known")),
    ]
    met = f"{len(on['subjects'])}; their ids are in config.json and in the weights' header, so that a test on any of them can be refused"
    trained_on = [
        ("data", on["data"] + (f", and macro clips of {data['macro']}" if data.get("macro") else "")),
        ("labelled clips", f"{data['samples']:,} of {data['subjects']:,} people"),
        (f"people in all its data, macro clips{' and the weights it began from' if began else ''} included", met),
        ("manifest of the data", Safe(f"sha256 {code(on['manifest_hash'])}")),
    ]
    hashes = [
        (code(WEIGHTS), f"{config.bytes:,} bytes", Safe(f"sha256 {code(config.sha256)}")),
        *((escaped(name), escaped(version), "installed when it was published") for name, version in {"merzoo": config.merzoo, **config.plugins}.items()),
    ]
    made = {"network": network, "training": training, "data": trained_on}
    return {**{name: table(("", ""), rows) for name, rows in made.items()}, "hashes": table(("", "", ""), hashes), "reported": _reported(recognizer.spec.paper)}


def _reported(paper: Paper | None) -> Safe:
    """The paper's own numbers, with where they stand and how they were measured."""
    rows = [(TITLES.get(one.metric, one.metric), f"{one.data}{f' ({one.part})' if one.part else ''}", one.protocol, f"{one.value:.4g}", one.table, one.note)
            for one in (paper.reported if paper else ()) if one.value is not None]  # fmt: skip
    return table(("score", "data", "protocol", "value", "where", "note"), rows, [3]) if rows else Safe()


def _fit(check: Mapping[str, Any]) -> str:
    """What a check says, without the remedy behind its semicolon; nothing of it where it names a place on the publisher's machine."""
    text = str(check["text"]).partition(";")[0]
    return text if not re.search(r"[/\\~]", text) else "the data set was not at hand" if check["status"] == "not checked" else "see `merzoo audit`"


def settings(part: Any) -> dict[str, Any]:
    """What a part was built with, its defaults included: those of its attributes that are plain data."""
    told = {name: tree(value) for name, value in vars(part).items() if not name.startswith("_")}
    return {name: value for name, value in told.items() if not isinstance(value, str) or isinstance(vars(part)[name], str)}


def _options(options: Mapping[str, Any], before: str = "", default: str = "those by default") -> str:
    """As people write them: `size 112, augmentation.flip 0.5`; what is empty is left out. default: where nothing is left."""
    told = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            told.append(_options(value, f"{before}{name}.") if value else "")
        elif value is not None:
            told.append(f"{before}{name} {'(' + ', '.join(map(str, value)) + ')' if isinstance(value, list) else value}")
    return ", ".join(filter(None, told)) or ("" if before else default)


def _stage(stage: Mapping[str, Any]) -> str:
    losses = "" if stage["first"] is None or stage["last"] is None else f"; loss {stage['first']:.3g} at the first step, {stage['last']:.3g} at the last logged"
    return f"{stage['steps']:,} steps{losses}"


def _others(trained: Trained, scored: Scored) -> str:
    """What was scored, and how it they differ from the one that is published."""
    count = f"{scored.sound} other {trained.others if scored.sound != 1 else trained.others.replace('s ', ' ', 1)}"
    one_person = all(len(set(fold.test_subjects)) == 1 for fold in scored.run.protocol.folds)
    return f"{count}, each without {'one person and tested on that person' if one_person else 'the people it was then tested on'}"


def _remarks(trained: Trained, scored: Scored) -> Iterator[str]:
    """In what else the scored networks differ from the published one."""
    there, here = scored.run.facts, trained.facts
    if scored.sound < scored.networks:
        yield f"{scored.networks - scored.sound} of {scored.networks} {trained.noun}s are left out of every number: their folds fail the audit."
    if _other_data(trained, scored):
        yield f"They were trained and tested on {_data(there['data'])}; this file was trained on {_data(here['data'])}, which are other data."
    confusion = (scored.result or {}).get("confusion") or []
    answers = [name for name, taken in zip(scored.run.labels, zip(*confusion, strict=True), strict=False) if any(taken)]
    if len(answers) == 1:
        yield f"Every clip was taken for '{answers[0]}': nothing was learned, whatever the intervals say."
    if there["precision"] != here["precision"] and not trained.fitted:
        yield f"They were trained in {there['precision']}, this file in {here['precision']}."


def _other_data(trained: Trained, scored: Scored) -> bool:
    return any(scored.run.facts["data"].get(name) != trained.facts["data"].get(name) for name in ("manifest_hash", "macro"))


def _data(data: Mapping[str, Any]) -> str:
    name = f"{data['name']}:{data['part']}" if data.get("part") else str(data["name"])
    return f"{name} with macro clips of {data['macro']}" if data.get("macro") else name


def _seeds(scored: Scored) -> str:
    count = len(scored.run.seeds)
    return f"{count} seed{'' if count == 1 else 's'}"


def _how(trained: Trained, scored: Scored, numbers: Mapping[str, Any]) -> Safe:
    """How the numbers were made, for those who want to compare them."""
    protocol, tested, lacking = scored.run.protocol, numbers["tested"], numbers["bootstrap"]["lacking_a_class"]
    known = next((known.summary for known in PROTOCOLS.values() if re.fullmatch(known.pattern, protocol.name, re.ASCII)), "")
    what = "from a file" if protocol.name.startswith(FILE) else known
    name = f"Protocol {protocol.name}{f' ({what})' if what else ''} on {_data(scored.run.facts['data'])}"
    counted = f"{tested['samples']:,} clips of {tested['subjects']:,} people"
    sentences = [f"{name}: {counted}, {_seeds(scored)}, {'' if trained.fitted else 'last epoch, '}predictions of all folds pooled."]
    if scored.run.task == "classes":
        absent = f" (here {', '.join(numbers['absent_classes'])})" if numbers["absent_classes"] else ""
        sentences.append(f"UF1 is F1 and UAR is recall, averaged over classes; a class without a clip{absent} counts 0.")
        most, clips = max(((name, one["support"]) for name, one in numbers["per_class"].items()), key=itemgetter(1))
        chance = f"a UAR of {1 / len(scored.run.labels):.3f}"
        sentences.append(f"Guessing reaches {chance}; always answering '{most}' reaches that too, and an accuracy of {clips / tested['samples']:.3f}.")
    else:
        sentences.append("F1 of each label, averaged over labels; a label is given from a probability of 0.5 on.")
    few = ", and of so few people no more than a rough guide" if tested["subjects"] < FEW_PEOPLE else ""
    lack = f"; {lacking:,} of them lack a class, which counts 0 there" if lacking else ""
    sentences.append(f"Intervals are bootstrapped over people ({numbers['bootstrap']['resamples']:,} resamples{lack}){few}.")
    return escaped(" ".join(sentences))


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['low']:.3f} to {estimate['high']:.3f}"


def _score_tables(trained: Trained, scored: Scored, numbers: Mapping[str, Any] | None) -> dict[str, Safe]:
    audit = table(("check", "", ""), [(check["name"], Safe(f"**{escaped(check['status'])}**"), _fit(check)) for check in scored.checks])
    made = {"audit": audit, **dict.fromkeys(("scores", "classes", "confusion", "slices", "perturbed", "auxiliary", "oracle"), Safe())}
    if numbers is None:
        return made
    best = {} if trained.fitted else numbers.get("oracle")  # what is fitted in one go has no epochs
    titles = {metric: TITLES[metric] for metric in numbers["scores"]}
    made["scores"] = table(("score", "value", "95 % interval"), [(titles[m], f"{v['value']:.3f}", _interval(v)) for m, v in numbers["scores"].items()], [1])
    made["classes"] = _classes(scored, numbers)
    if numbers["confusion"]:
        rows = [(Safe(f"**{escaped(name)}**"), *counts) for name, counts in zip(scored.run.labels, numbers["confusion"], strict=True)]
        made["confusion"] = table(("", *scored.run.labels), rows, range(1, len(rows) + 1))
    cells = {
        "slices": [(name, one["samples"], one["subjects"], *(f"{v['value']:.3f} ({_interval(v)})" for v in one["scores"].values()))
                   for name, one in numbers.get("slices", {}).items()],
        "perturbed": [(name, *(f"{v['value']:.3f} ({_interval(v)})" for v in one.values())) for name, one in numbers.get("perturbed", {}).items()],
        "auxiliary": [(f"{task}: {name}", one["samples"], f"{one['scores']['au_f1']['value']:.3f} ({_interval(one['scores']['au_f1'])})")
                      for task, outputs in numbers.get("auxiliary", {}).items() for name, one in outputs.items()],
        "oracle": [(text, *(f"{best[name][m]:.3f}" for m in titles)) for name, text in ORACLE.items()] if best else [],
    }  # fmt: skip
    heads = {
        "slices": ("part", "clips", "people", *titles.values()),
        "perturbed": ("clips with", *titles.values()),
        "auxiliary": ("task", "clips", "AU F1"),
        "oracle": ("oracle", *titles.values()),
    }
    return made | {name: table(heads[name], rows) for name, rows in cells.items() if rows}


def _classes(scored: Scored, numbers: Mapping[str, Any]) -> Safe:
    rows = []
    for name, one in numbers["per_class"].items():
        value, low, high = scored.recall.get(name, (0.0, 0.0, 0.0))
        interval = f"{low:.3f} to {high:.3f}" if 0 < value < 1 else "–"  # where all are right, or none, resampling tells nothing
        rows.append((name, one["support"], f"{one['recall']:.3f}", interval, f"{one['f1']:.3f}"))
    return table(("class", "clips", "recall", "95 % interval of recall", "F1"), rows, [1, 2, 4])


def _weak(numbers: Mapping[str, Any]) -> Iterator[str]:
    """What the confusion matrix tells of single classes: those taken for another one more often than for themselves."""
    if not numbers["confusion"]:
        return
    names = list(numbers["per_class"])
    for truth, counts in zip(names, numbers["confusion"], strict=True):
        most = max(range(len(counts)), key=counts.__getitem__)
        if names[most] != truth and counts[most] > counts[names.index(truth)]:
            right, total = counts[names.index(truth)], sum(counts)
            yield f"Of {total:,} tests with '{truth}', {right:,} {'was' if right == 1 else 'were'} called so and {counts[most]:,} '{names[most]}'."
