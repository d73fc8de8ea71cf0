"""`merzoo publish`: a training run as a model on the Hub that anybody can load by name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merzoo.cli.audit import ROOT
from merzoo.cli.output import print_json, print_lines, print_table
from merzoo.errors import MerzooWarning, UsageError, WeightsError
from merzoo.text import byte_count

if TYPE_CHECKING:
    from merzoo.publish.folder import Publication

SUBJECTS = "Publish the ids of people in data of your own, which may be names: weights always carry them."


def command(
    run: Annotated[Path, typer.Argument(metavar="TRAIN_RUN", help="The run folder of a finished `merzoo train`.")],
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository on the Hub; made where there is none.")],
    scores: Annotated[Path | None, typer.Option(metavar="EVAL_RUN", help="The run folder of `merzoo evaluate` for the same model, trained so.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder, say what would change on the Hub, and upload nothing.")] = False,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Where --dry-run writes the folder (by default TRAIN_RUN/published).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish scores that fail their audit; the card says so.")] = False,
    licence: Annotated[str | None, typer.Option("--licence", "--license", help="Of the weights, as the Hub spells it: cc-by-nc-4.0, other, …")] = None,
    publish_subjects: Annotated[bool, typer.Option("--publish-subjects", help=SUBJECTS)] = False,
    root: Annotated[list[str] | None, typer.Option(metavar="DIR", help=ROOT)] = None,
    remap: Annotated[Path | None, typer.Option(help="The table of labels that EVAL_RUN had, for data of your own.")] = None,
    skip: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of clips to leave out that EVAL_RUN had.")] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Audit EVAL_RUN against its data set, where that is here.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Publish trained weights with a config and a model card, in one commit. Nothing else of the run leaves this machine.

    Scores are made again from EVAL_RUN's predictions, after its audit."""
    from merzoo.publish.folder import check_repo, prepare
    from merzoo.publish.upload import upload

    check_repo(repo)
    if out is not None and not dry_run:
        raise UsageError("--out is where --dry-run writes; give both, or neither")
    if out is not None and not out.strip():
        raise UsageError("--out '' names no folder; give one, or '.' for this one")
    if force and scores is None:
        raise UsageError("--force publishes scores that fail their audit; give --scores, or leave out --force")
    dataset, why = _data(scores, root, remap, skip) if scores is not None and data else (None, "--no-data")
    made = prepare(run, repo, scores, force=force, licence=licence, dataset=dataset, why_no_data=why)
    _quiet_in_pipes()
    if dry_run:
        facts = _tried(made, Path(out) if out else run / "published")
    else:
        if made.own_subjects and not publish_subjects:
            told = f"the ids of {len(made.own_subjects)} people in data of your own, such as {made.own_subjects[0]}"
            raise UsageError(f"the weights carry {told}; if these are no names, give --publish-subjects, else give people codes in your table and train again")
        facts = _done(repo, *upload(made, private))
    facts = {**facts, "subjects": len(made.subjects), "own_subjects": len(made.own_subjects), "failed_checks": list(made.failed)}
    if json:
        print_json({**facts, "differences": [asdict(one) for one in facts["differences"]]})
    else:
        _show(facts, made)


def _quiet_in_pipes() -> None:
    """The client draws its bars wherever stderr goes; in a log they would stand before the one line that says what went wrong."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()


def _data(scores: Path, root: list[str] | None, remap: Path | None, skip: Path | None) -> Any:
    from merzoo.data.sources import parse_roots
    from merzoo.evaluation.audit_data import open_data
    from merzoo.evaluation.runs import RunFolder

    folder = RunFolder.open(scores)
    if folder.facts["kind"] != "evaluation":
        return None, "--no-data"  # refused, with the reason, where its scores are read
    return open_data(folder, parse_roots(root or ()), remap=remap, skip=skip)


def _tried(made: Publication, out: Path) -> dict[str, Any]:
    """Write the folder and compare it with the repository, where the Hub can be asked."""
    from merzoo.publish.account import doubt
    from merzoo.publish.upload import Remote, changes, compared, left, look

    made.write(out)
    try:
        remote, unknown = look(made.repo), ""
    except WeightsError as error:
        remote, unknown = Remote(), str(error)
    if not unknown and (why := doubt(made.repo)):
        warnings.warn(why, MerzooWarning, stacklevel=2)
    files = [{"file": one.name, "what": "not compared" if unknown else one.what, "bytes": one.size} for one in changes(made, remote)]
    return {
        "repo": made.repo, "dry_run": True, "folder": str(out), "files": files, "left": left(made, remote), "differences": compared(made, remote),
        "builds_on": remote.commit or None, "private": remote.private if remote.commit else None, "not_compared": unknown or None,
    }  # fmt: skip


def _done(repo: str, commit: str, changed: list[Any], differences: list[Any]) -> dict[str, Any]:
    from merzoo.publish.upload import pinned, url

    files = [{"file": one.name, "what": one.what, "bytes": one.size} for one in changed]
    return {"repo": repo, "dry_run": False, "files": files, "differences": differences, "commit": commit, "url": url(repo), "load": pinned(repo, commit)}


def _show(facts: dict[str, Any], made: Publication) -> None:
    print_table(("file", "", "size"), [(file["file"], file["what"], byte_count(file["bytes"])) for file in facts["files"]])
    print_lines([one.told(done=not facts["dry_run"]) for one in facts["differences"]])
    verb = "would publish" if facts["dry_run"] else "publishes"
    print_lines([f"{verb} the ids of {len(made.subjects)} people, such as {made.subjects[0]} (in config.json and in the weights' header)"])
    if made.own_subjects:
        print_lines([f"{len(made.own_subjects)} of them are of data of your own, such as {made.own_subjects[0]}: make sure that they are no names"])
    if made.failed:
        print_lines([f"the card says that the scores fail their audit: {', '.join(made.failed)}"])
    print_lines(_tail(facts))


def _tail(facts: dict[str, Any]) -> Iterator[str]:
    if not facts["dry_run"]:
        same = all(file["what"] == "the same" for file in facts["files"])
        yield f"nothing to change: {facts['url']}" if same else f"published: {facts['url']}"
        yield f'load it: merzoo.load("{facts["load"]}")'
        return
    yield f"folder: {facts['folder']} (nothing was uploaded)"
    if facts["not_compared"]:
        yield f"not compared with the Hub: {facts['not_compared']}"
    elif facts["builds_on"] is None:
        yield f"{facts['repo']} is not there, or private and not yours to see: it would be made"
    elif all(file["what"] == "the same" for file in facts["files"]):
        yield f"nothing to change: {facts['repo']} is at {facts['builds_on']}"
    else:
        yield f"the commit would build on {facts['builds_on']} of the {'private' if facts['private'] else 'public'} repository {facts['repo']}"
    if facts.get("left"):
        yield f"left as they are: {', '.join(facts['left'])}"
