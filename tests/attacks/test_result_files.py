"""What a stranger may put into a result file to stand higher on a board, or to harm who reads it. Each is refused, and told why."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merzoo.benchmark.statistics import summary
from merzoo.cli import main
from merzoo.leaderboard.build import build
from merzoo.testing.many_results import write_results

Value = dict[str, Any]
Check = Callable[[Value | bytes], tuple[int, str]]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Value]:
    """A good file of each kind."""
    files = write_results(tmp_path_factory.mktemp("honest"), 2, part="tiny", samples=60)
    return {(value := json.loads(file.read_text()))["kind"]: value for file in files}


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """The exit code of `merzoo leaderboard check` and what it says; and that a board of this file beside a good one leaves it out with a reason."""

    def run(value: Value | bytes) -> tuple[int, str]:
        source = tmp_path / "results"
        source.mkdir()
        file = source / "odd.json"
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode("utf-8", "surrogatepass"))
        code = main(["leaderboard", "check", str(file)])
        caught = capsys.readouterr()
        said = caught.out + caught.err
        assert all(line.isprintable() and len(line) < 3000 for line in said.splitlines())
        write_results(source, 1, part="tiny", samples=30)
        board = build(source, tmp_path / "site", resamples=50)
        shown = [row["run"] for group in board["groups"] for row in group["rows"]] + [cost["source"] for cost in board["costs"]]
        if code:
            assert "odd.json" not in shown
            assert [out["run"] for out in board["left_out"]] == ["odd.json"] and len(board["left_out"][0]["reason"]) > 20
        return code, said

    return run


def folds(value: Value) -> list[Value]:
    return value["folds"]


def predictions(value: Value) -> list[Value]:
    return folds(value)[0]["predictions"]


def latency(value: Value) -> Value:
    return value["measurements"][0]


def score_edited(value: Value) -> None:
    value["result"]["scores"]["uf1"]["value"] += 0.05


def interval_edited(value: Value) -> None:
    value["result"]["scores"]["uf1"]["low"] += 1e-6


def class_edited(value: Value) -> None:
    value["result"]["per_class"]["disgust"]["f1"] = 0.99


def confusion_edited(value: Value) -> None:
    value["result"]["confusion"][0][0] += 1


def oracle_claimed(value: Value) -> None:
    value["result"]["oracle"] = {"best_epoch_per_fold": {"uf1": 0.99}}


def dropped(value: Value) -> None:
    predictions(value).pop()


def duplicated(value: Value) -> None:
    predictions(value).append(predictions(value)[0])


def replaced(value: Value) -> None:
    predictions(value)[1] = predictions(value)[0]


def fold_dropped(value: Value) -> None:
    folds(value).pop()


def fold_twice(value: Value) -> None:
    folds(value).append(folds(value)[0])


def fold_unasked(value: Value) -> None:
    folds(value).append({**folds(value)[0], "seed": 9})


def other_data(value: Value) -> None:
    for data in (value["data"], value["run"]["data"], value["result"]["data"]):
        data["manifest_hash"] = "ab" * 32


def data_told_twice(value: Value) -> None:
    value["run"]["data"]["samples"] = 9999


def labels_changed(value: Value) -> None:
    for fold in folds(value):
        for p in fold["predictions"]:
            p["label"] = value["run"]["labels"][max(range(5), key=p["probabilities"].__getitem__)]


def prediction_changed(value: Value) -> None:
    """To what is right, so that the claim no longer follows."""
    for p in predictions(value):
        p["probabilities"] = [float(name == p["label"]) for name in value["run"]["labels"]]


def nan_probability(value: Value) -> None:
    predictions(value)[0]["probabilities"][0] = float("nan")


def nan_score(value: Value) -> None:
    value["result"]["scores"]["uf1"]["value"] = float("nan")


def text_for_number(value: Value) -> None:
    predictions(value)[0]["probabilities"][0] = "0.9"


def null_score(value: Value) -> None:
    value["result"]["scores"]["uf1"]["value"] = None


def leak(value: Value) -> None:
    folds(value)[0]["stages"][0]["subjects"].append(folds(value)[0]["test_subjects"][0])


def protocol_changed(value: Value) -> None:
    """Two folds less, hashed anew: what remains is no LOSO."""
    from merzoo.evaluation.protocols import Fold, Protocol

    kept = value["run"]["protocol"]["folds"][:2]
    made = Protocol("loso", tuple(Fold(f["fold_id"], tuple(f["test_ids"]), tuple(f["test_subjects"])) for f in kept))
    value["run"]["protocol"] = made.to_json()
    value["folds"] = folds(value)[:2]


def protocol_hash(value: Value) -> None:
    value["run"]["protocol"]["hash"] = "0" * 64


def weights_unknown(value: Value) -> None:
    value["run"]["weights"] = {"tag": "mine", "sha256": "ab" * 32}


def weights_other(value: Value) -> None:
    for where in (value, value["run"]):
        where["model"] = "ststnet"
    value["run"]["weights"] = {"tag": "synthetic", "sha256": "ab" * 32}


def flipped(value: Value) -> None:
    value["run"]["flip_labels"] = 0.2


def environment_gone(value: Value) -> None:
    del value["environment"]["cpu"], value["run"]["environment"]["cpu"]


def environment_odd(value: Value) -> None:
    value["environment"]["threads"] = value["run"]["environment"]["threads"] = -3


def environment_told_twice(value: Value) -> None:
    value["environment"]["cpu"] = "A faster one"


def model_told_twice(value: Value) -> None:
    value["model"] = "miacnet"


def reported_edited(value: Value) -> None:
    for where in (value, value["run"]):
        where["model"] = "ststnet"
    number = {"data": "megc2019", "protocol": "loso", "metric": "uf1", "value": 0.2, "table": "", "note": ""}
    value["paper"] = {"title": "t", "authors": "", "year": 2019, "arxiv": "", "reported": [number]}


def reported_bare(value: Value) -> None:
    value["paper"] = {"title": "t", "authors": "", "year": 2019, "arxiv": "", "reported": [{}]}


def paper_odd(value: Value) -> None:
    value["paper"] = {"title": "\x1b[2J", "reported": []}


def created_odd(value: Value) -> None:
    value["created"] = "yesterday"


def by_odd(value: Value) -> None:
    value["by"] = "a\nb"


SCORES = {
    score_edited: "claimed scores.*scores.uf1.value is 0.*made again it is 0",
    interval_edited: "claimed scores.*scores.uf1.low is 0.*made again",
    class_edited: "per_class.disgust.f1 is 0.99, made again it is 0",
    confusion_edited: r"confusion\[0\]\[0\] is \d+, made again it is",
    oracle_claimed: "oracle is .*made again there is none",
    dropped: r"predictions is not exactly the 4 test samples of fold .*found 3 of them, 0 others.*export the run again",
    duplicated: "predictions: synthetic:.* is not given once",
    replaced: "predictions: synthetic:.* is not given once",
    fold_dropped: "unfinished: 3 of 4 folds are there",
    fold_twice: "the second record of .* is a fold that this run's protocol and seeds do not have",
    fold_unasked: "record 4 of folds is a fold that this run's protocol and seeds do not have",
    other_data: "synthetic:tiny here has the manifest .*, the file was made on abababab",
    data_told_twice: "data.samples is 16, in its run it is 9999",
    labels_changed: r"labels of the run: \d+ differences from the data set .*in the run, .* in the data set",
    prediction_changed: "claimed scores.*made again",
    nan_probability: "NaN is no number",
    nan_score: "NaN is no number",
    text_for_number: "probabilities of .* is not 5 finite numbers",
    null_score: "scores.uf1.value is None, made again it is 0",
    leak: "test subject synthetic:.* is in the training data",
    protocol_changed: "made again from the data set, loso has other folds",
    protocol_hash: "the manifest says 000000",
    weights_unknown: "began from 'mine'.*no model .* is installed here|none of the weights",
    weights_other: "'synthetic' hashes to abababababab… in the run, to [0-9a-f]{12}… in the plugin",
    flipped: "a share of 0.2 of its training labels was flipped",
    environment_gone: "environment: .*it does not say cpu",
    environment_odd: "threads is -3, no count of threads",
    environment_told_twice: "environment.cpu is 'A faster one', in its run it is",
    model_told_twice: "model is 'miacnet', in its run it is",
    reported_edited: "megc2019 loso full uf1: 0.2 in the file, 0.7353 in the plugin",
    reported_bare: "holds a number that does not say data, protocol",
    paper_odd: "paper.title is no printable text",
    created_odd: "created is 'yesterday' and no time",
    by_odd: "by is .* and no printable text",
}


@pytest.mark.parametrize("tamper", SCORES, ids=lambda tamper: tamper.__name__)
def test_scores_that_are_not_what_they_say(tamper: Callable[[Value], None], honest: dict[str, Value], told: Check) -> None:
    value = copy.deepcopy(honest["scores"])
    tamper(value)
    code, said = told(value)
    assert code == (2 if "NaN" in SCORES[tamper] else 1)
    assert re.search(SCORES[tamper], said, re.DOTALL), said


def summary_edited(value: Value) -> None:
    latency(value)["summary"]["p50"] *= 0.5


def interval_of_times_edited(value: Value) -> None:
    latency(value)["summary"]["p95_interval"][1] -= 1


def thinned(value: Value) -> None:
    """The slow calls left out."""
    latency(value)["samples_us"] = sorted(latency(value)["samples_us"])[:50]


def reordered(value: Value) -> None:
    """Blocks of neighbours made alike, for a narrow interval."""
    latency(value)["samples_us"].sort()


def rate_edited(value: Value) -> None:
    value["measurements"][1]["per_second"] *= 2


def negative_time(value: Value) -> None:
    latency(value)["samples_us"][0] = -1.0


def times_of_a_gpu(value: Value) -> None:
    latency(value)["device_us"] = latency(value)["samples_us"]


def measured_twice(value: Value) -> None:
    value["measurements"].append(latency(value))


def wrong_outputs(value: Value) -> None:
    latency(value)["check"]["ok"] = False


def wrong_outputs_called_ok(value: Value) -> None:
    latency(value)["check"] |= {"error": 0.9, "tolerance": 0.25}


def everything_tolerated(value: Value) -> None:
    latency(value)["check"] |= {"error": 0.9, "tolerance": 10.0}


def fp32_as_coarse_as_bf16(value: Value) -> None:
    latency(value)["check"] |= {"error": 0.2, "tolerance": 0.25}


def knee_moved(value: Value) -> None:
    value["measurements"][2]["knee"], value["measurements"][3]["knee"] = True, False


def two_knees(value: Value) -> None:
    value["measurements"][1]["knee"] = True


def knee_of_a_latency(value: Value) -> None:
    latency(value)["knee"] = True


def only_few_times(value: Value) -> None:
    """A latency of 29 times, all of it true, and nothing else."""
    one = latency(value)
    one["samples_us"] = one["samples_us"][:29]
    one["summary"] = summary(one["samples_us"])
    value["measurements"] = [one]


def unchecked(value: Value) -> None:
    latency(value)["check"] = None


def endless_floor(value: Value) -> None:
    latency(value)["floor_us"] = 1e300


def floor_raised(value: Value) -> None:
    latency(value)["floor_us"] *= 2


def quiet_claimed(value: Value) -> None:
    value["noise"]["blocks_us"][0] *= 2


def limit_moved(value: Value) -> None:
    value["noise"]["limit"] = 0.5


def weights_of_others(value: Value) -> None:
    value |= {"model": "ststnet", "weights": {"tag": "synthetic", "sha256": "ab" * 32}}


def all_at_fault(value: Value) -> None:
    for one in value["measurements"]:
        one["faults"] = ["outputs are cached"]


COSTS = {
    wrong_outputs_called_ok: "check.ok is true, and the error 0.9 is not within 0.25",
    everything_tolerated: "more than 0.001 is tolerated",
    fp32_as_coarse_as_bf16: "the error 0.2 is not within 0.25, or more than 0.001 is tolerated",
    knee_moved: "batch 16: knee is true, made again it is at batch 64",
    two_knees: "batch 4: knee is true, made again it is at batch 64",
    knee_of_a_latency: "knee is true, and no rate of a batch size is told",
    only_few_times: "29 times were measured, and a latency needs 30",
    unchecked: "no output was checked, and no fault is told",
    floor_raised: r"floor_us is [\d.]+, made again it is",
    endless_floor: r"floor_us is 1e\+300, neither null nor a number",
    summary_edited: r"latency fp32 contiguous eager, batch 1: summary.p50 is [\d.]+, made again it is",
    interval_of_times_edited: r"summary.p95_interval\[1\] is [\d.]+, made again it is",
    thinned: "summary.count is 60, made again it is 50",
    reordered: r"summary.p50_interval\[\d\] is",
    rate_edited: "throughput .*per_second is .*made again",
    negative_time: "samples_us holds a time that no clock gives",
    times_of_a_gpu: "is of a GPU, and the environment says that the device is a cpu",
    measured_twice: "is there 2 times",
    wrong_outputs: "its outputs are not those of the reference, and no fault is told",
    quiet_claimed: "noise.spread is .*made again",
    limit_moved: "noise.limit is 0.5, made again it is 0.03",
    weights_of_others: r"'synthetic' \(abababababab…\) was timed, and the plugin's hash to",
    all_at_fault: "4 measurements have faults, and there are no others",
}


@pytest.mark.parametrize("tamper", COSTS, ids=lambda tamper: tamper.__name__)
def test_costs_that_are_not_what_they_say(tamper: Callable[[Value], None], honest: dict[str, Value], told: Check) -> None:
    value = copy.deepcopy(honest["cost"])
    tamper(value)
    code, said = told(value)
    assert code == 1
    assert re.search(COSTS[tamper], said, re.DOTALL), said


def test_the_honest_ones_pass(honest: dict[str, Value], told: Check) -> None:
    code, said = told(honest["scores"])
    assert code == 0 and said.splitlines()[-1] == "consistent: a board takes it"


def test_a_newer_schema_is_refused_with_what_it_needs(honest: dict[str, Value], told: Check) -> None:
    code, said = told({**honest["scores"], "schema": 7})
    assert code == 2 and re.search(r"its schema is version 7 and merzoo \S+ reads up to 1; upgrade merzoo to one that reads version 7", said)


def test_a_hundred_megabytes_are_refused_before_they_are_read(tmp_path: Path, told: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(*_: Any, **__: Any) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("merzoo.results.reading.json.loads", unread)
    file = tmp_path / "large.json"
    with file.open("wb") as out:  # sparse: nothing of it takes disk
        out.write(b'{"schema": 1, "kind": "scores", "folds": [')
        out.truncate(100_000_000)
    code = main(["leaderboard", "check", str(file)])
    assert code == 2
    monkeypatch.undo()
    (tmp_path / "results").mkdir()
    file.rename(tmp_path / "results" / "odd.json")
    board = build_beside(tmp_path / "results", tmp_path / "site")
    assert re.search(r"100\.0 MB, at most 16 MiB", board["left_out"][0]["reason"])


def build_beside(source: Path, site: Path) -> Value:
    write_results(source, 1, part="tiny", samples=30)
    return build(source, site, resamples=50)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"schema": 1, "kind": "scores", "folds": ' + b"[" * 5000 + b"]" * 5000 + b"}", "5,001 deep"),
        (b'{"schema": 1, "kind": "scores", "x": "]]]]]]]]]]", "folds": ' + b'{"a":' * 200 + b"1" + b"}" * 201, "201 deep"),
        (b'{"schema": 1, "kind": "scores", "model": "a", "model": "b"}', "the key 'model' is given twice"),
        (b'{"schema": 1, "kind": "scores", "n": 1e999}', "too large for a number"),
        (b'{"schema": 1, "kind": "scores", "n": -Infinity}', "-Infinity is no number"),
        (b'{"schema": 1, "kind": "scores", "n": ' + b"9" * 5000 + b"}", "no JSON of a result"),
        (b'{"schema": 1, "kind": "scores", "model": "\\ud800"}', "no JSON of a result"),
        (b'{"schema": 1, "kind": "scores", "model": "\xff"}', "no JSON of a result"),
        (b'{"schema": 1, "kind": "scores"', "no JSON of a result"),
        (b'{"schema": true, "kind": "scores"}', "schema is True and no version"),
        (b'{"schema": "1", "kind": "scores"}', "schema is '1' and no version"),
        (b'{"schema": 0, "kind": "scores"}', "schema version 0 was never released"),
        (b'{"schema": 1, "kind": ["scores"]}', "kind is"),
    ],
    ids=["lists", "objects", "key", "infinite", "constant", "digits", "surrogate", "utf8", "cut", "true", "text", "zero", "kind"],
)
def test_bytes_that_are_no_result(raw: bytes, words: str, told: Check) -> None:
    code, said = told(raw)
    assert code == 2 and words in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "'; DROP TABLE models; --", "=cmd()", "a" * 300, "../../etc/passwd", "hf-hub:a/b", "ĝ\u0303"])
def test_a_name_is_text(name: str, honest: dict[str, Value], told: Check, tmp_path: Path) -> None:
    value = copy.deepcopy(honest["scores"])
    value["model"] = value["run"]["model"] = value["result"]["model"] = name
    code, said = told(value)
    assert code == 0, said
    page, text, table = ((tmp_path / "site" / file).read_text() for file in ("index.html", "board.md", "board.csv"))
    assert "<script>alert(1)" not in page and "<script>" not in text and ",=cmd()," not in table
    assert json.loads((tmp_path / "site" / "board.json").read_text())["groups"][0]["rows"]


@pytest.mark.parametrize("name", ["\x1b[31mred", "bidi\u202e", "", "a" * 301, ["a"], None, 3, "\ud800"])
def test_what_is_no_name_is_refused(name: Any, honest: dict[str, Value], told: Check) -> None:
    value = copy.deepcopy(honest["scores"])
    value["model"] = value["run"]["model"] = value["result"]["model"] = name
    code, said = told(value)
    assert code in (1, 2) and re.search("model is .* no printable text|no JSON of a result", said)


@pytest.mark.parametrize("kind", ["scores", "cost"])
def test_a_board_is_built_beside_a_file_of_any_fields(kind: str, honest: dict[str, Value], tmp_path: Path) -> None:
    """Copies with a few fields drawn by chance replaced: a board is written, the good file stands on it, and each copy is on it or left out."""
    rng, places = random.Random(3), [*paths(honest[kind])]
    source = tmp_path / "results"
    source.mkdir()
    for at in range(20):
        value = copy.deepcopy(honest[kind])
        for path in rng.sample(places, 2):
            inner = value
            try:
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = rng.choice([None, "odd", -1, 1e17, True, [{}], {"a": []}, []])
            except (KeyError, IndexError, TypeError):
                continue  # the first took the place of the second away
        (source / f"odd-{at:02d}.json").write_text(json.dumps(value))
    board = build_beside(source, tmp_path / "site")
    shown = [row["run"] for group in board["groups"] for row in group["rows"]] + [cost["source"] for cost in board["costs"]]
    assert "0000-scores.json" in shown + [out["run"] for out in board["left_out"]]
    assert not [out for out in board["left_out"] if "unexpected" in out["reason"] or "cannot be drawn" in out["reason"]]
    assert (tmp_path / "site" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scores", "cost"])
def test_fields_of_any_type_are_refused_and_never_raise(kind: str, honest: dict[str, Value], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each field in turn replaced by what it is not: a reason is told, never an unexpected error; and what passes stands on a board that can be written."""
    for path in paths(honest[kind]):
        for odd in (None, "odd", -1, [{}], {"a": []}):
            value = copy.deepcopy(honest[kind])
            at = value
            for key in path[:-1]:
                at = at[key]
            if type(at[path[-1]]) is type(odd):
                continue
            at[path[-1]] = odd
            file = tmp_path / "results" / "odd.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(value))
            code = main(["leaderboard", "check", "--json", str(file)])
            said = capsys.readouterr()
            assert code in (0, 1, 2) and "unexpected" not in said.out + said.err, (path, odd, said)
            if code == 0:
                assert not build(file.parent, tmp_path / "site")["left_out"], (path, odd)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value; of lists the first entry."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return found + [deeper for key, inner in items for deeper in paths(inner, (*path, key))]
