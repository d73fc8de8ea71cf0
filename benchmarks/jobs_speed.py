"""How long an evaluation takes with one process, with two, and on a Ray cluster of two nodes of one CPU each, all on this machine.

    python benchmarks/jobs_speed.py [--rounds 2] [--only tiny small medium]        writes benchmarks/results/jobs_speed.json

Every run is `merzoo evaluate` as a fresh process; rounds go through the three ways in turn. The clip store and costly views are made beforehand, and the
cluster is there already. `total` is the wall time of the command. `folds` is the time from the beginning of the first fold to the end of the last, `rest` is
what remains: imports, start of processes, scores. Beginnings are told by the record of a fold: when it was written, less the seconds of its stages. Needs a
machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from merzoo.evaluation.runs import RunFolder

SETTINGS = {  # name: arguments
    "tiny": ["ststnet", "--preset", "small", "--data", "synthetic:tiny", "--set", "strategy.epochs=5"],
    "small": ["ststnet", "--preset", "small", "--data", "synthetic:development"],
    "medium": ["miacnet", "--preset", "small", "--data", "synthetic:development", "--protocol", "subject-8fold", "--set", "strategy.epochs=12"],
}
WAYS = {"jobs 1": ["--jobs", "1"], "jobs 2": ["--jobs", "2"], "ray": ["--executor", "ray"]}
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
RESULTS = Path(__file__).parent / "results" / "jobs_speed.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[*SETTINGS])
    parser.add_argument("--lock", help="a file that is locked during each run, where several share the machine")
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"settings": {}}
    with two_nodes() as address, tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            evaluate(name, "jobs 2", address, Path(folder) / f"{name}-before", args.lock, "strategy.epochs=1")
            rounds = [
                {way: evaluate(name, way, address, Path(folder) / f"{name}-{way}-{number}", args.lock) for way in WAYS} for number in range(args.rounds)
            ]
            found["settings"][name] = {"arguments": " ".join(SETTINGS[name]), "rounds": rounds, **summary(rounds)}
            found |= {"cores": os.cpu_count(), "machine": platform.machine(), "ray": version_of("ray"), "torch": version_of("torch")}
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(json.dumps({name: found["settings"][name]}, indent=1))


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a cluster whose head and one more node have a CPU each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        cluster.add_node(**NODE)
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def evaluate(name: str, way: str, address: str, out: Path, lock: str | None, *settings: str) -> dict[str, Any]:
    """Seconds of one run, and the hash of what was trained in each fold."""
    more = [part for setting in settings for part in ("--set", setting)] + (["--address", address] if way == "ray" else [])
    command = [sys.executable, "-m", "merzoo", "evaluate", *SETTINGS[name], *WAYS[way], *more, "--out", str(out)]
    if lock:
        command = ["flock", lock, sys.executable, "-c", TIMED, *command]
    else:
        command = [sys.executable, "-c", TIMED, *command]
    total = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)
    ends, begins, states = [], [], {}
    for record in RunFolder.open(out).folds():
        end = (out / "folds" / str(record["seed"]) / f"{record['fold_id']}.json").stat().st_mtime
        ends.append(end)
        begins.append(end - sum(stage["seconds"] for stage in record["stages"] if stage["scope"] == "fold"))
        states[record["fold_id"]] = record["state_sha256"]
    folds = max(ends) - min(begins)
    threads = json.loads((out / "run.json").read_text())["environment"]["threads"]
    return {"total": round(total, 2), "folds": round(folds, 2), "rest": round(total - folds, 2), "threads": threads, "states": states}


TIMED = """
import subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - began)
"""


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each way, ratios within a round, and whether two processes and two nodes trained the same networks. Takes the states out of the rounds."""
    states = [{way: run.pop("states") for way, run in one.items()} for one in rounds]
    return {
        "median_total": {way: statistics.median(one[way]["total"] for one in rounds) for way in WAYS},
        "jobs_2_of_jobs_1": round(statistics.median(one["jobs 2"]["total"] / one["jobs 1"]["total"] for one in rounds), 3),
        "ray_of_jobs_2_folds": round(statistics.median(one["ray"]["folds"] / one["jobs 2"]["folds"] for one in rounds), 3),
        "same_bits": all(one["jobs 2"] == one["ray"] for one in states),
    }


def version_of(name: str) -> str:
    from importlib.metadata import version

    return version(name)


if __name__ == "__main__":
    main()
