"""The board as a page. All text in it is strangers' text: the page escapes it, and lets no script run."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from merzoo.evaluation.scores import TITLES
from merzoo.leaderboard.wording import clips_tested, count, duration, interval, training


def html(board: dict[str, Any]) -> str:
    """The whole page as one text without a script, an image or a link to another place."""
    environment = Environment(loader=PackageLoader("merzoo.leaderboard", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(interval=interval, count=count, duration=duration, training=training, tested=clips_tested, called=TITLES.__getitem__)
    return environment.get_template("board.html").render(board=board)
