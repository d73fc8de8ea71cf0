"""Pages of the site that are made when it is built: those that lie elsewhere in the tree, the commands' help, and the API from its docstrings."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {  # file in the tree: page of the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    **{f"plugins/{path.parent.name}/README.md": f"plugins/{path.parent.name}.md" for path in sorted(ROOT.glob("plugins/*/README.md"))},
}
API = {  # page: title, a sentence, and what stands on it
    "merzoo": (
        "import merzoo",
        "What the package itself offers.",
        "loading.load recognizer.build recognizer.Recognizer prediction.predict prediction.Prediction events.Event batch.predict_all "
        "evaluation.evaluate.evaluate training.train.train registry.list_models registry.info",
    ),
    "plugin": (
        "What a plugin implements",
        "The hook, what it registers, and the interfaces of the parts.",
        "hookspecs.merzoo_register entries.Register specs interfaces interval needs.VOCABULARY views.base testing.contract",
    ),
    "training": ("Training", "A strategy is a list of stages; the engine runs them.", "training.stages training.batches training.data training.engine"),
    "data": ("Data", "Clip tables, clip stores, readers.", "data.table data.clips data.store data.sources data.readers.base"),
    "evaluation": (
        "Evaluation",
        "Protocols, scores, intervals, run folders, the audit.",
        "evaluation.scores evaluation.protocols evaluation.bootstrap evaluation.runs evaluation.compare evaluation.audit",
    ),
    "errors": ("Errors", "Every expected failure is a MerzooError.", "errors"),
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s:]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=linked((ROOT / source).read_text(encoding="utf-8"), source, page)))
    files.append(File.generated(config, "commands.md", content="\n".join(commands())))
    for name, (title, about, members) in API.items():
        text = [f"# {title}", about, *(f"::: merzoo.{member}" for member in members.split())]
        files.append(File.generated(config, f"api/{name}.md", content="\n\n".join(text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of the pages that lie in docs/."""
    uri = page.file.src_uri
    return markdown if page.file.generated_by else linked(markdown, f"docs/{uri}", uri)


def linked(text: str, source: str, page: str) -> str:
    """The text of a file of the tree with links that fit the page of the site; what the site does not have loses its link."""

    def link(found: re.Match[str]) -> str:
        picture, words, path, anchor = found[1], found[2], found[3], found[4] or ""
        if not path:
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        there = ELSEWHERE.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if not (ROOT / target).exists():
            raise PluginError(f"{source} links to {path}, which is not there")
        if there is None:
            return words
        return f"{picture}[{words}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(link, text)


def commands() -> Iterator[str]:
    """The help of every verb, as the command line prints it."""
    from typer.core import TyperGroup

    from merzoo.cli import VERBS, application

    app = application()
    yield "# Commands\n\nEvery verb has `--help`; those that tell facts have `--json`. Errors are one line on stderr and exit code 2.\n"
    for verb in VERBS:
        real: Any = app.commands[verb].real()  # type: ignore[attr-defined]
        below = sorted(real.commands.items()) if isinstance(real, TyperGroup) else []
        for name, command in ((verb, real), *((f"{verb} {sub}", one) for sub, one in below)):
            yield f"## merzoo {name}\n\n```\n{help_of(name, command)}\n```\n"


def help_of(name: str, command: Any) -> str:
    """The help text of one command at 80 columns."""
    context = command.context_class(command, info_name=f"merzoo {name}", max_content_width=80, terminal_width=80)
    return str(command.get_help(context)).strip()
