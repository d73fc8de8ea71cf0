"""A model made ready to be published: what its files are, and who is named in them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.errors import RunError, UsageError, WeightsError
from merzoo.files import dumps, is_leftover, make_folder, write_atomically
from merzoo.hub import REPO
from merzoo.publish.card import card
from merzoo.publish.licences import licence_of
from merzoo.publish.scores import Scored, read_scores
from merzoo.publish.trained import Trained, read_training
from merzoo.published import CARD, CONFIG, MAX_BYTES, MAX_TEXT, WEIGHTS, Config, config_of
from merzoo.text import plain
from merzoo.weights import verify

if TYPE_CHECKING:
    from merzoo.data.table import Dataset


@dataclass(frozen=True)
class Publication:
    """A model ready to be published. texts: file name -> content; besides, model.safetensors is `weights`, byte for byte.

    subjects: everybody whose id is published. own_subjects: those among them that may be names. failed: names of the audit's failed checks.
    """

    repo: str
    weights: Path
    config: Config
    texts: Mapping[str, str]
    own_subjects: tuple[str, ...]
    failed: tuple[str, ...] = field(default=())

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whom the weights know."""
        return tuple(self.config.trained_on["subjects"])

    def sizes(self) -> dict[str, int]:
        """File -> bytes."""
        return {**{name: len(text.encode()) for name, text in self.texts.items()}, WEIGHTS: self.config.bytes}

    def write(self, out: Path) -> None:
        """Write the folder. Raises `RunError` where it holds anything else, or cannot be written."""
        make_folder(out)
        names = {*self.texts, WEIGHTS}
        if other := sorted(entry.name for entry in out.iterdir() if entry.name not in names and not is_leftover(entry)):
            raise RunError(f"{out} holds {plain(other[0], 80)}, which is not of a published model; give an empty folder with --out")
        _copy(self.weights, out / WEIGHTS)
        verify(out / WEIGHTS, self.config.sha256)
        for name, text in self.texts.items():
            write_atomically(out / name, text)


def prepare(
    run: Path | str,
    repo: str,
    scores: Path | str | None = None,
    *,
    force: bool = False,
    licence: str | None = None,
    dataset: Dataset | None = None,
    why_no_data: str = "the data set was not opened",
) -> Publication:
    """Make a training run ready to be published as `repo` ("org/name"), with the scores of an evaluation where one is given.

    force: publish scores that fail their audit, and say so on the card. licence: of the weights, as the Hub spells it. dataset, why_no_data: of the
    evaluation, for its audit. Raises `UsageError` for a name or licence that is none, and as `read_training` and `read_scores`.
    """
    check_repo(repo)
    trained = read_training(run)
    scored = read_scores(scores, trained, dataset, why_no_data, force) if scores is not None else None
    terms = licence_of(trained, licence)
    config = config_of(trained.recognizer, trained.weights, {"trained_on": trained.trained_on}, licence=terms.told, **_about(scored, trained))
    text = dumps(config.to_json())
    if len(text.encode()) > MAX_BYTES:
        raise WeightsError(f"{trained.run.path} would make a {CONFIG} of more than {MAX_BYTES >> 20} MiB, which nobody could load; shorten its subjects' ids")
    Config.from_json(json.loads(text), str(trained.run.path))  # what cannot be read back is not written
    texts = {CONFIG: text, CARD: card(repo, trained, config, scored, terms)}
    failed = tuple(check["name"] for check in scored.failed) if scored else ()
    return Publication(repo, trained.weights, config, texts, trained.own_subjects, failed)


def check_repo(repo: str) -> None:
    """Raise `UsageError` for what is no name of a repository on the Hub."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    remedy = "give --repo ORG/NAME of letters, digits, single - and . and _, at most 96 each"
    if not REPO.fullmatch(repo):
        raise UsageError(f"'{plain(repo, 120)}' is no name of a repository; {remedy}")
    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UsageError(f"the Hub takes no repository named '{repo}'; {remedy}") from None


def _about(scored: Scored | None, trained: Trained) -> dict[str, Any]:
    """protocol and metrics of the config. Scores that fail their audit are on the card alone, beside the box that says so."""
    if scored is None or scored.result is None or scored.failed:
        return {}
    data, protocol = scored.run.facts["data"], scored.run.protocol
    name = f"{data['name']}:{data['part']}" if data.get("part") else data["name"]
    said = f"{protocol.name} on {name}: {scored.networks} other {trained.others}{'' if trained.fitted else ', last epoch'}"
    tested = scored.result["tested"]
    metrics: dict[str, Any] = {"data": name, "clips": tested["samples"], "subjects": tested["subjects"]}
    for metric, one in scored.result["scores"].items():
        metrics |= {metric: round(one["value"], 4), f"{metric}_interval": f"{one['low']:.3f} to {one['high']:.3f}"}
    return {"protocol": plain(said, MAX_TEXT), "metrics": metrics}


def _copy(source: Path, target: Path) -> None:
    """Copy a file whole or not at all."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, scratch)
        scratch.replace(target)
    except OSError as error:
        raise RunError(f"{target} cannot be written ({error.strerror or error}); choose another --out or free the disk") from None
    finally:
        scratch.unlink(missing_ok=True)
