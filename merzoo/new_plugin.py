"""A new plugin from templates: a distribution that installs, lists, trains and passes its tests as it is written."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from merzoo.errors import RunError, UsageError
from merzoo.files import make_folder
from merzoo.installed import normal
from merzoo.registry import registry
from merzoo.specs import valid_name
from merzoo.testing.light import HEAVY
from merzoo.text import plain
from merzoo.version import __version__

LONGEST = 40  # characters of a name: it becomes part of file names, of a class and of commands
FILES = {  # path in the distribution: its template
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    ".gitignore": "gitignore",  # setuptools' globs pass over names that begin with a dot
    ".github/workflows/test.yml": "test.yml",
    "$module/__init__.py": "init.py",
    "$module/plugin.py": "plugin.py",
    "$module/network.py": "network.py",
    "tests/test_contract.py": "test_contract.py",
    "tests/test_network.py": "test_network.py",
}


def new_plugin(name: str, out: Path, author: str = "") -> Path:
    """Write the distribution `merzoo-NAME` into the folder `out`, whole or not at all, and return its folder.

    name: of the plugin, its model and its backbone. author: as it stands in pyproject.toml and LICENSE.
    Raises `UsageError` for a name that cannot be, or that an installed distribution, a library, module or registered part has, and for a folder
    that is there; `RunError` where it cannot be written.
    """
    names = names_of(name, author)
    _check_free(name, names)
    folder = out / names["distribution"]
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} is there already; choose another name, or another place by --out")
    make_folder(out)
    try:
        # A folder inside a private one: it gets the usual permissions, and is seen only when it is whole.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=out, ignore_cleanup_errors=True) as scratch:
            whole = Path(scratch) / folder.name
            _write(whole, names)
            whole.rename(folder)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror or error}); choose another place by --out, or free the disk") from None
    return folder


def names_of(name: str, author: str = "") -> dict[str, str]:
    """What the templates are filled with. Raises `UsageError` for a name that gives no name of a module and a class, and an author who cannot stand in TOML."""
    if not valid_name(name) or "/" in name or not name[0].isalpha() or len(name) > LONGEST:
        remedy = f"give lower-case words joined by - _ or ., beginning with a letter, {LONGEST} characters at most, as in tiny-net"
        raise UsageError(f"'{plain(name, 60)}' cannot be the name of a plugin; {remedy}")
    if normal(name).startswith("merzoo"):
        raise UsageError(f"'{name}' cannot be the name of a plugin: the distribution will be called merzoo-NAME; leave merzoo- out")
    if not author.isprintable() or set(author) & set('"\\'):
        raise UsageError(f"--author {plain(author, 60)!r} cannot stand in pyproject.toml; leave out quotes, backslashes and line ends")
    distribution = f"merzoo-{normal(name)}"
    words = normal(name).split("-")
    return {
        "name": name,
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "network": "".join(word.capitalize() for word in words) + "Network",  # never a keyword, nor a name that network.py imports
        "author": author.strip() or f"the authors of {distribution}",
        "version": __version__,
    }


def _check_free(name: str, names: Mapping[str, str]) -> None:
    """Raise `UsageError` where somebody has one of the names: a collision would cost both."""
    taken = {normal(found.name) for found in importlib.metadata.distributions() if isinstance(found.name, str)}
    if names["distribution"] in taken or importlib.util.find_spec(names["module"]) is not None:
        raise UsageError(f"{names['distribution']} is installed already; choose another name, or uninstall it")
    owners: list[tuple[str, str]] = [(entry.kind, entry.credit) for entry in registry().entries() if entry.name == name]
    owners += [(kind, "a plugin, as a deprecated name") for kind in registry().kinds_of(name)]
    if owners:
        kind, owner = owners[0]
        raise UsageError(f"{kind} '{name}' is registered by {owner}; choose another name (`merzoo list --kind {kind}`)")
    if normal(name) in taken or name in HEAVY or name in sys.stdlib_module_names:  # nothing would break, but readers would be misled
        raise UsageError(f"'{name}' is the name of a library; choose another name for the model, as in {name}-net")


def _write(folder: Path, names: Mapping[str, str]) -> None:
    templates = resources.files("merzoo") / "templates" / "plugin"
    for path, template in FILES.items():
        target = folder / Template(path).substitute(names)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (templates / f"{template}.tmpl").read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(names), encoding="utf-8", newline="\n")
    (folder / names["module"] / "py.typed").touch()


def next_commands(name: str, folder: Path) -> list[str]:
    """What to type next, a command a line."""
    return [
        f"cd {shlex.quote(str(folder))}",
        'pip install -e ".[test]"',
        f"merzoo info {name}",
        f"merzoo check-plugin {name}",
        "pytest",
        f"merzoo evaluate {name} --preset small --data synthetic:development --out runs/{name}",
    ]
