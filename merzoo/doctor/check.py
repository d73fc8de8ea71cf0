"""One line of the report, and a look at something in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from merzoo.text import plain

State = Literal["ok", "warn", "fail"]
PROBE_SECONDS = 120  # importing torch from a cold disk takes tens of seconds


@dataclass(frozen=True)
class Check:
    """What was found. warn: something is not as it should be, and merzoo works without it; fail: it does not. remedy: what to do; "" where all is well."""

    name: str
    state: State
    text: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)  # for programs


class ProbeError(Exception):
    """A probe that did not come to its end, with the reason."""


def probe(what: str) -> dict[str, Any]:
    """What `merzoo.doctor.probe` finds about a library, in a process of its own: a library that crashes, hangs or prints takes nothing along.

    Raises `ProbeError` with the last line of what it said.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-m", "merzoo.doctor.probe", what]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ProbeError(f"no answer within {PROBE_SECONDS} s") from None
    except OSError as error:
        raise ProbeError(f"{sys.executable} cannot be started ({error.strerror})") from None
    said = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode < 0:
        raise ProbeError(f"it crashed ({_signal(-done.returncode)})")
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise ProbeError(plain(said, 300) or f"it ended with exit code {done.returncode}") from None
    if not isinstance(found, dict):
        raise ProbeError("it answered with something else")
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
