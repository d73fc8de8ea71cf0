"""What publishing changes for those who read the repository: model, labels, weights, licence and scores, as they stand there now and as they become.

What is there may have been written by anybody: it is read with the limits of a published config, and only compared and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merzoo.errors import WeightsError
from merzoo.evaluation.records import is_number
from merzoo.evaluation.scores import TITLES
from merzoo.hub import fetch
from merzoo.publish.licences import KNOWN
from merzoo.published import CARD, CONFIG, MAX_BYTES, WEIGHTS, Config, read_config
from merzoo.text import plain

NONE = "none"


@dataclass(frozen=True)
class Difference:
    """What one thing was in the repository and what it becomes. keep: the option with which it stays as it was, "" where there is none."""

    what: str
    was: str
    becomes: str
    keep: str = ""

    def told(self, done: bool = False) -> str:
        """In one line, before or after publishing."""
        if self.what == "scores" and self.becomes == NONE:
            gone = "are gone; publish again with" if done else "would go; give"
            return f"the scores {'that were there' if done else 'there now'} ({self.was}) {gone} --scores to keep or renew them"
        return f"{self.what}: {self.was} {'has become' if done else 'becomes'} {self.becomes}{f' ({self.keep} keeps it)' if self.keep else ''}"


def differences(repo: str, commit: str, digests: Mapping[str, str], config: Config) -> list[Difference]:
    """What a repository says at a commit against the config to be published; [] where there is nothing to compare. digests: of its files.

    What cannot be fetched is told as a difference of its own: that is no reason not to publish.
    """
    try:
        there = _config(repo, commit) if CONFIG in digests else None
        licence = _licence(fetch(repo, CARD, commit)) if CARD in digests else ""
    except WeightsError as error:
        return [Difference("what is there now", f"not compared ({plain(error, 300)})", "what is published")]
    return [*_found(there, licence, digests, config)]


def _found(there: Config | None, licence: str, digests: Mapping[str, str], here: Config) -> Iterator[Difference]:
    licence = licence or (there.licence if there else "")
    if (licence or CARD in digests) and licence != here.licence:
        yield Difference("licence", licence or NONE, here.licence, f"--licence {licence}" if licence in KNOWN - {"other"} else "")
    if there:
        if _model(there) != _model(here):
            yield Difference("model", _model(there), _model(here))
        if there.labels != here.labels:
            yield Difference("labels", plain(", ".join(there.labels), 200), plain(", ".join(here.labels), 200))
        if (was := _scores(there)) != (becomes := _scores(here)):
            yield Difference("scores", was, becomes, "--scores EVAL_RUN" if becomes == NONE else "")
    elif CONFIG in digests:
        yield Difference("model", "none of merzoo's", _model(here))
    if WEIGHTS in digests and digests[WEIGHTS] != here.sha256:
        yield Difference("weights", f"sha256 {plain(digests[WEIGHTS][:12])}…", f"sha256 {here.sha256[:12]}…")


def _config(repo: str, commit: str) -> Config | None:
    """The config there, None where it is none of merzoo's."""
    path = fetch(repo, CONFIG, commit)
    try:
        return read_config(path.parent)
    except WeightsError:
        return None


def _licence(path: Path) -> str:
    """What the head of a card names, "" where it names none: the name of a licence that is "other", else its identifier."""
    from huggingface_hub import metadata_load

    try:
        head: Any = metadata_load(path) if path.stat().st_size <= MAX_BYTES else None
    except Exception:  # the head is a stranger's YAML, which can be wrong in many ways
        return ""
    named = [head.get(key) for key in ("license_name", "license")] if isinstance(head, dict) else []
    return next((plain(name, 80) for name in named if isinstance(name, str) and name), "")


def _model(config: Config) -> str:
    return f"{config.model} ({config.preset})"


def _scores(config: Config) -> str:
    """As people write them: UF1 0.71, UAR 0.69 under loso on casme2."""
    named = [f"{title} {config.metrics[name]:.4g}" for name, title in TITLES.items() if is_number(config.metrics.get(name))]
    return f"{', '.join(named)} under {config.protocol.partition(': ')[0] or 'no named protocol'}" if named else NONE
