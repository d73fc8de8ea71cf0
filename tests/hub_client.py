"""huggingface_hub in a process of its own, of the major version that a test asks for: the installed one, or an overlay before it on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from filelock import FileLock
from hub_server import Hub

RANGES = {1: "huggingface_hub>=1.30,<2", 2: "huggingface_hub>=2,<3"}
CHECK = "import huggingface_hub as _hub; assert _hub.__version__.startswith('{major}.'), _hub.__version__\n"


def installed_major() -> int:
    """The major version that this Python has."""
    return int(metadata.version("huggingface_hub").split(".")[0])


def overlay(root: Path, major: int) -> Path:
    """A folder with that major version and what it depends on (torch is not among it), made once under `root`, whoever comes first."""
    folder = root / f"hub-client-{major}"
    done = root / f"hub-client-{major}.done"
    with FileLock(root / f"hub-client-{major}.lock"):
        if done.exists():
            return folder
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder), RANGES[major]]
        made = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if made.returncode:
            why = f"the overlay of {RANGES[major]} cannot be installed: {(made.stderr.strip().splitlines() or ['pip failed'])[-1]}"
            if os.environ.get("MERZOO_TESTS_OFFLINE") == "1":
                pytest.skip(why)
            pytest.fail(f"{why}; give pip a package index, or set MERZOO_TESTS_OFFLINE=1 to skip what needs one", pytrace=False)
        done.touch()
    return folder


class HubClient:
    """A client of one major version; `environment` is what its process needs to use it with the loopback Hub."""

    def __init__(self, hub: Hub, major: int, folder: Path | None) -> None:
        self.hub, self.major = hub, major
        self.environment = {**hub.environment, "PYTHONPATH": str(folder or "")}

    def python(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python code, which begins by checking the client's version."""
        return self._run([sys.executable, "-c", CHECK.format(major=self.major) + code, *arguments], environment)

    def merzoo(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run merzoo's command line."""
        return self._run([sys.executable, "-m", "merzoo", *arguments], environment)

    def start(self, code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """As `python`, but without waiting for its end."""
        command = [sys.executable, "-c", CHECK.format(major=self.major) + code, *arguments]
        seen, pipe = self._environment(environment), subprocess.PIPE
        return subprocess.Popen(command, env=seen, stdout=pipe, stderr=pipe, text=True, cwd=self.hub.home)

    def _run(self, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environment(environment), capture_output=True, text=True, cwd=self.hub.home, timeout=400, check=False
        )

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MERZOO_", "HF_")) or key == "MERZOO_CACHE"}
        return {**kept, **self.environment, **more}
