"""What tests share: one clip cache a session, and third-party distributions made on the spot, as an installer leaves them, with a process that sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub_client import HubClient
    from hub_server import Hub

    from merzoo.data.clips import ClipData


class Site:
    """A folder on the path of a fresh Python process, like site-packages."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def distribution(self, name: str, module: str = "", source: str = "", point: str = "", entry_points: str | None = None) -> None:
        """Install a distribution: its module and its .dist-info; `point` is the name of its entry point (by default the distribution's)."""
        module = module or name.replace("-", "_")
        (self.root / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.root / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
        text = f"[merzoo]\n{point or name} = {module}\n" if entry_points is None else entry_points
        (info / "entry_points.txt").write_text(text, encoding="utf-8")

    def python(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process that sees this folder."""
        return self._run([sys.executable, "-c", code, *arguments], environment)

    def merzoo(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process that sees this folder."""
        return self._run([sys.executable, "-m", "merzoo", *arguments], environment, stdout)

    def _run(self, command: list[str], environment: dict[str, str], stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MERZOO_") or key == "MERZOO_CACHE"}
        seen = {**kept, "PYTHONPATH": str(self.root), **environment}
        return subprocess.run(command, env=seen, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=self.root, timeout=120, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty `Site`."""
    root = tmp_path / "site"
    root.mkdir()
    return Site(root)


@pytest.fixture
def one_line() -> Callable[[subprocess.CompletedProcess[str]], str]:
    """Check that a command failed as it should: one line on stderr, exit code 2, nothing on stdout; gives the line."""

    def check(done: subprocess.CompletedProcess[str]) -> str:
        lines = done.stderr.splitlines()
        assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done
        assert lines[0].startswith("merzoo: ")
        return lines[0]

    return check


@pytest.fixture(scope="session", autouse=True)
def clip_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for the whole session, so that a clip store is built once and the user's cache is never touched."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERZOO_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(clip_cache: Path) -> ClipData:
    """The synthetic faces' part for tests at 64 px: 4 subjects with 4 micro clips each, and 3 macro clips of others."""
    from merzoo.data.clips import ClipData
    from merzoo.data.synthetic import SyntheticFaces
    from merzoo.specs import Preprocessing

    return ClipData(SyntheticFaces("tiny"), Preprocessing(size=64))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, clip_cache: Path) -> Path:
    """A finished training run of a small network, two epochs long."""
    from merzoo.training.train import train

    out = tmp_path_factory.mktemp("runs") / "train"
    train("ststnet,strategy.epochs=2", "synthetic:tiny", out=out, preset="small", precision="fp32", device="cpu", threads=1)
    return out


@pytest.fixture(scope="session")
def evaluated(trained: Path) -> Path:
    """An audited evaluation of the same network."""
    from merzoo.evaluation.evaluate import evaluate

    out = trained.parent / "evaluation"
    evaluate("ststnet,strategy.epochs=2", "synthetic:tiny", out=out, preset="small", precision="fp32", device="cpu", audit=True)
    return out


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub on loopback, with a folder of its own for its clients."""
    from hub_server import Hub

    home = tmp_path / "hf"
    home.mkdir()
    server = Hub(home)
    yield server
    server.stop()


@pytest.fixture(params=[1, 2], ids=["hub1", "hub2"])
def hub_client(request: pytest.FixtureRequest, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> HubClient:
    """huggingface_hub 1.x and 2.x in processes of their own, against `hub`: one of them is installed, the other an overlay made once a session."""
    from hub_client import HubClient, installed_major, overlay

    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return HubClient(hub, request.param, None if request.param == installed_major() else overlay(root, request.param))
