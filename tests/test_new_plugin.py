"""`merzoo new-plugin`: what it writes, and what it refuses. That it works once installed is told in test_plugin_story.py."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from merzoo import new_plugin as templates
from merzoo.errors import RunError, UsageError
from merzoo.new_plugin import new_plugin
from merzoo.version import __version__


def written(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "module", "network"),
    [("leaf", "merzoo_leaf", "LeafNetwork"), ("two-stream.v2_b", "merzoo_two_stream_v2_b", "TwoStreamV2BNetwork"), ("none", "merzoo_none", "NoneNetwork")],
)
def test_it_writes_a_distribution(tmp_path: Path, name: str, module: str, network: str) -> None:
    folder = new_plugin(name, tmp_path / "new", author="Grace L. Å")
    assert folder == tmp_path / "new" / module.replace("_", "-")
    files = written(folder)
    rest = {"pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/test.yml", "tests/test_contract.py", "tests/test_network.py"}
    assert set(files) == rest | {f"{module}/{file}" for file in ("__init__.py", "plugin.py", "network.py", "py.typed")}
    assert not [path for path, text in files.items() if "$" in text or ("Grace" in text and path not in ("pyproject.toml", "LICENSE"))]
    facts = tomllib.loads(files["pyproject.toml"])
    assert facts["project"]["entry-points"]["merzoo"] == {name: f"{module}.plugin"}
    assert facts["project"]["dependencies"] == [f"merzoo>={__version__}"] and facts["project"]["authors"] == [{"name": "Grace L. Å"}]
    assert facts["tool"]["setuptools"]["package-data"][module] == ["py.typed", "weights/*"]
    assert facts["tool"]["pytest"]["ini_options"]["merzoo_plugin"] == name
    assert network in [node.name for node in ast.parse(files[f"{module}/network.py"]).body if isinstance(node, ast.ClassDef)]
    assert f'"{module}.network:{network}"' in files[f"{module}/plugin.py"]


def test_what_it_writes_is_clean(tmp_path: Path) -> None:
    folder = new_plugin("a-name-of-forty-characters-which-is-long", tmp_path)
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "Leaf", "3d", "a b", "timm/leaf", "-leaf", "leaf!", "../leaf", "x" * 41, "leaf\n", "l\x1b[31m"])
def test_a_name_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be the name of a plugin; give lower-case words .* as in tiny-net$") as caught:
        new_plugin(name, tmp_path)
    assert str(caught.value).isprintable() and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "author", "why"),
    [
        ("merzoo-leaf", "", r"leave merzoo- out$"),
        ("ststnet", "", r"^(model|backbone) 'ststnet' is registered by merzoo-baselines; choose another name"),
        ("linear", "", r"^head 'linear' is registered by merzoo-builtin .*; choose another name"),
        ("synthetic", "", r"^dataset 'synthetic' is registered by"),
        ("timm", "", r"^backbone 'timm' is registered by merzoo-builtin .*; choose"),
        ("baselines", "", r"^merzoo-baselines is installed already; choose another name, or uninstall it$"),
        ("torch", "", r"^'torch' is the name of a library; choose another name for the model, as in torch-net$"),
        ("pytest", "", r"^'pytest' is the name of a library"),
        ("json", "", r"^'json' is the name of a library"),
        ("leaf", 'A "B" C', r"^--author .* leave out quotes"),
        ("leaf", "A\nB", r"^--author .* leave out quotes"),
    ],
)
def test_what_is_taken_or_cannot_be_is_one_line(tmp_path: Path, name: str, author: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        new_plugin(name, tmp_path, author)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_module_that_is_there_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "merzoo_leaf.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="merzoo-leaf is installed already"):
        new_plugin("leaf", tmp_path / "new")


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = new_plugin("leaf", tmp_path)
    before = written(folder)
    with pytest.raises(UsageError, match=r"merzoo-leaf is there already; choose another name, or another place by --out$"):
        new_plugin("leaf", tmp_path)
    (tmp_path / "merzoo-twig").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="merzoo-twig is there already"):
        new_plugin("twig", tmp_path)
    assert written(folder) == before


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(templates.FILES, "tests/last.py", "no_such_template")
    with pytest.raises(RunError, match=r"merzoo-leaf cannot be written \(No such file.*; choose another place"):
        new_plugin("leaf", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_to_type_next(site, one_line) -> None:
    done = site.merzoo("new-plugin", "leaf", "--out", "plugins")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[2:6] == ["cd plugins/merzoo-leaf", 'pip install -e ".[test]"', "merzoo info leaf", "merzoo check-plugin leaf"]
    scored = "merzoo evaluate leaf --preset small --data synthetic:development --out runs/leaf"
    assert lines[-1] == scored and scored in (site.root / "plugins" / "merzoo-leaf" / "README.md").read_text(encoding="utf-8").splitlines()
    assert scored.replace("leaf", "threestreams") in (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    assert (site.root / "plugins" / "merzoo-leaf" / "merzoo_leaf" / "network.py").is_file()
    assert "is there already" in one_line(site.merzoo("new-plugin", "leaf", "--out", "plugins"))
