"""Scoring a model under a protocol: every fold trained from scratch without its test subjects, here or on many machines, resumable at any moment."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from merzoo.cores import cores
from merzoo.data.clips import ClipData
from merzoo.data.people import same_people, shared_subjects
from merzoo.data.perturb import asked as perturbations
from merzoo.data.sources import open_clips, open_dataset
from merzoo.data.table import Dataset
from merzoo.errors import MerzooWarning, RunError, UnknownNameError, UsageError
from merzoo.evaluation.catalogue import protocol_by_name
from merzoo.evaluation.divided import Launched, check_shared_stages, create, run_divided
from merzoo.evaluation.executors import Here, Processes
from merzoo.evaluation.folds import Plan, check_folds, run_fold, run_scope
from merzoo.evaluation.outputs import check_scored
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder, write_result
from merzoo.evaluation.splits import with_same_people
from merzoo.evaluation.starting import NamedStart, facts_of, named_start, offered, refuse_no_effect, refuse_overlap, warn_of_size
from merzoo.evaluation.workers import Report
from merzoo.recognizer import assemble
from merzoo.registry import registry
from merzoo.specs import ModelSpec
from merzoo.training.data import labelled_clips
from merzoo.training.world import launched

MOST_THREADS = 64  # of a fold, where the machine has fewer cores: as many as another machine may have begun the run with


def evaluate(
    model: str | ModelSpec,
    data: str | Dataset = "synthetic",
    protocol: str = "loso",
    *,
    out: str | Path,
    preset: str = "full",
    seeds: int | Sequence[int] = 1,
    weights: str | None = None,
    resume: bool = False,
    jobs: int = 0,
    threads: int = 0,
    executor: str = "local",
    address: str | None = None,
    gpus: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    only: Sequence[str] = (),
    audit: bool = False,
    flip_labels: float = 0.0,
    perturb: Sequence[str] = (),
    report: Report | None = None,
    checkpoint_seconds: float = 30.0,
) -> dict[str, Any]:
    """Train and test every fold of the protocol under every seed, into the run folder `out`; returns the result (see `merzoo.evaluation.runs.result`).

    model: a registered name, or a specification of registered parts. data: NAME or NAME:PART, or the data set itself. seeds: how many (0, 1, …) or which.
    weights: what each fold starts from (None: random); refused where a test subject was trained on. jobs: folds at once, each in a process; 0: one, or what
    a Ray cluster has room for (a script that asks for several needs `if __name__ == "__main__":`). threads: of a fold; the same number gives the same bits,
    however many folds run at once; 0: those of the run that is continued, else the cores shared among the jobs, or one on Ray. executor: "local", or "ray"
    (see `merzoo.evaluation.ray_tasks`): address: of a running cluster (None: RAY_ADDRESS, else one is started for this run), gpus: share of a GPU that a fold
    takes (None: 1 where folds run on GPUs). only: fold ids, to run those alone. audit: keep what the test clips were
    taken for after each epoch, and check that nothing was learned from them. flip_labels: share of each fold's training clips that get a wrong class.
    perturb: what the test clips are predicted under besides as they are, as "pixel-noise=10", or "all" (see `merzoo.data.perturb`).
    report(what, done, total) is told how far the work is, where jobs run side by side from several threads.
    Where torchrun started this process among others, they share the work (see `merzoo.evaluation.divided`).
    Raises any `MerzooError`, before the first fold wherever it can be known by then.
    """
    say = report or (lambda text, done, total: None)
    spec = registry().model(model) if isinstance(model, str) else model
    chosen = [*range(seeds)] if isinstance(seeds, int) else [*seeds]
    if not chosen or jobs < 0 or threads < 0:
        raise UsageError(f"seeds must be at least 1, jobs and threads at least 0, not {len(chosen)}, {jobs} and {threads}")
    if executor == "local" and threads > (most := max(MOST_THREADS, 2 * cores())):
        raise UsageError(f"--threads {threads}: this machine has {cores()} cores; give at most {most}")
    dataset = open_dataset(data) if isinstance(data, str) else data
    make_protocol = protocol_by_name(protocol, dataset.task)
    _check_options(dataset, audit, flip_labels)
    harder = perturbations(perturb)
    start = named_start(spec, weights)
    with _executor(executor, jobs, address, gpus, say) as work:
        each, shared = _threads(Path(out), resume, threads, work.threads(len(chosen)))
        machine, environment = work.machine(device, precision, each)
        builders = jobs or (cores() if executor == "ray" else 1)
        clips = machine.world.in_turn(
            lambda: open_clips(dataset, spec.preset(preset).preprocessing, jobs=builders, progress=lambda done, total: say("clip store", done, total))
        )
        folds = _folds(make_protocol(clips.table), clips, start, only)
        plan = Plan(
            spec,
            preset,
            dataset,
            clips.labels,
            frozenset(subject for fold in folds.folds for subject in fold.test_subjects),
            machine,
            Path(out),
            start=start.start,
            checkpoint_seconds=checkpoint_seconds,
            shared_threads=shared,
            kind=folds.kind,
            flip_labels=flip_labels,
            audit=audit,
            perturb=harder,
        )
        if not (resume and Path(out, "run.json").is_file()):  # of one that goes on, these stages may be done
            check_shared_stages(plan, clips, folds.folds[0], chosen[0])
        run = _open_run(plan, clips, folds, start, chosen, {**environment, "shared_threads": shared}, resume)
        todo = _todo(run, only)
        work.begin(plan, clips, len(todo))
        if machine.world.size > 1:
            run_divided(run, todo, plan, clips, say)
        else:
            work.drive(lambda: _run(run, folds, todo, work, say))
    result = machine.world.agreed(lambda: write_result(run))
    if result["complete"] and machine.world.first:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return result


@contextlib.contextmanager
def _executor(name: str, jobs: int, address: str | None, gpus: float | None, say: Report) -> Iterator[Here]:
    """Who does the work. Raises `UsageError` for one that is not there, and options that it does not take."""
    if name not in ("local", "ray"):
        raise UsageError(f"--executor {name} is neither local nor ray")
    if name == "local" and (address is not None or gpus is not None):
        raise UsageError(f"--{'gpus' if address is None else 'address'} is for a Ray cluster; add --executor ray, or leave it out")
    if launched().size > 1 and (name != "local" or jobs > 1):
        option = f"--executor {name}" if name != "local" else f"--jobs {jobs}"
        raise UsageError(f"{option}: the {launched().size} processes of torchrun share the folds already; leave it out")
    if name == "ray":
        from merzoo.evaluation.ray_tasks import Tasks

        work: Here = Tasks(say, jobs, address, gpus)
    else:
        work = Launched(say) if launched().size > 1 else Here(say) if jobs <= 1 else Processes(say, jobs)
    try:
        yield work
    finally:
        work.close()


def _todo(run: RunFolder, only: Sequence[str]) -> list[tuple[int, Fold]]:
    """(seed, fold) that are still to do, seeds in order. Those that train on most clips come first: at the end, others wait for the last one less long."""

    def place(item: tuple[int, Fold]) -> tuple[int, int]:
        seed, fold = item
        return run.seeds.index(seed), len(fold.test_ids) if fold.train_ids is None else -len(fold.train_ids)

    return sorted((item for item in run.missing() if not only or item[1].fold_id in only), key=place)


def _open_run(
    plan: Plan, clips: ClipData, folds: Protocol, start: NamedStart, seeds: Sequence[int], environment: dict[str, Any], resume: bool
) -> RunFolder:
    """The run folder, new or continued, after a look at whether the model fits the data."""
    network = assemble(plan.spec, plan.preset, clips.labels, clips.task, data_provides=offered(plan.data, start))
    refuse_no_effect(network, start)
    check_scored(network, labelled_clips(clips, folds.kind))
    parameters = sum(value.numel() for value in network.saved().values())
    asked = {"protocol": folds.to_json(), "audit": plan.audit, "flip_labels": plan.flip_labels, "perturb": [*map(str, plan.perturb)]}
    facts = facts_of(plan.spec, plan.preset, clips, folds.kind, seeds, plan.machine, start, parameters, environment)
    run = create(plan.machine.world, plan.folder, {"kind": "evaluation", **asked, **facts}, resume)
    warn_of_size(plan.spec, plan.preset, plan.machine, parameters)
    return run


def _folds(made: Protocol, clips: ClipData, start: NamedStart, only: Sequence[str]) -> Protocol:
    """The protocol with everybody who is known to be a test subject under another name, checked: against the clips, what training starts from, and which
    folds are asked."""
    folds = with_same_people(made, clips.table, same_people(shared_subjects()))
    check_folds(clips, folds)
    _warn_of_lonely(clips, folds)
    refuse_overlap(folds, start)
    unknown = [name for name in only if name not in folds.by_id]
    if unknown:
        shown = [*folds.by_id][:8]
        raise UnknownNameError("fold", unknown[0], [], f"(folds: {', '.join(shown)}{', …' if len(shown) < len(folds.by_id) else ''})")
    return folds


def _warn_of_lonely(clips: ClipData, folds: Protocol) -> None:
    """Warn of classes that one person alone has: in the fold that tests them, nobody is left to learn the class from."""
    labelled = labelled_clips(clips, folds.kind)
    for at, label in enumerate(clips.labels):
        who = set(labelled.subject_of[labelled.labels == at])
        if len(who) == 1:
            warnings.warn(f"only {who.pop()} has clips of class '{label}': it cannot be learned where this person is tested", MerzooWarning, stacklevel=4)


def _check_options(dataset: Dataset, audit: bool, flip_labels: float) -> None:
    """Raise `UsageError` for what this data set does not allow."""
    if not 0 <= flip_labels <= 1:
        raise UsageError(f"--flip-labels {flip_labels} is a share of the training clips; give 0 to 1")
    if dataset.task != "classes" and (audit or flip_labels):
        raise UsageError(f"{'--audit' if audit else '--flip-labels'} needs one label a clip, and the clips of {dataset.name} carry several; leave it out")


def _threads(out: Path, resume: bool, asked: int, shared: tuple[int, int]) -> tuple[int, int]:
    """Threads of a fold, and of the stages before all folds: as asked, else those of the run that is continued, since the bits depend on them, else a share
    of the cores."""
    if asked:
        return asked, asked
    if resume and (out / "run.json").is_file():
        with contextlib.suppress(RunError, KeyError, TypeError, ValueError):
            known = RunFolder.open(out).facts["environment"]
            return int(known["threads"]), int(known["shared_threads"])
    return shared


def _run(run: RunFolder, folds: Protocol, todo: Sequence[tuple[int, Fold]], work: Here, say: Report) -> None:
    """Run what is missing: for each seed its run-scope stages, then its folds; each fold is written the moment it is done."""
    total = len(run.seeds) * len(folds.folds)
    done = total - len(run.missing())
    say("folds", done, total)
    ready: deque[tuple[int, Fold | None]] = deque((seed, None) for seed in dict.fromkeys(seed for seed, _ in todo))
    running: dict[Future[Any], tuple[int, Fold | None]] = {}
    shared: dict[int, list[dict[str, Any]]] = {}
    while ready or running:
        while ready and len(running) < work.slots:
            seed, fold = ready.popleft()
            future = work.submit(run_scope, folds.folds, seed) if fold is None else work.submit(run_fold, fold, seed, shared[seed])
            running[future] = (seed, fold)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            seed, fold = running.pop(future)
            if fold is None:
                shared[seed] = future.result()
                ready.extendleft(reversed([(s, f) for s, f in todo if s == seed]))  # before the shared stages of the seeds after it
            else:
                run.write_fold(seed, fold.fold_id, future.result())
                done += 1
                say("folds", done, total)
