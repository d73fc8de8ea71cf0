"""What computes: torch on the CPU, and GPUs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from merzoo.cores import cores
from merzoo.doctor.check import Check, ProbeError, probe
from merzoo.text import byte_count, plain


@functools.cache
def _torch() -> dict[str, Any] | str:
    """What the probe finds, or why it did not; asked once for both checks."""
    try:
        return probe("torch")
    except ProbeError as error:
        return str(error)


def torch() -> Iterator[Check]:
    """torch computes, and how fast it may: threads, bf16."""
    found = _torch()
    have = cores()
    if isinstance(found, str):
        yield Check("torch", "fail", f"torch does not work: {found}", "install it again: pip install --force-reinstall torch torchvision", {"cores": have})
        return
    facts = {key: found[key] for key in ("version", "threads", "bf16", "computes")} | {"cores": have}
    if not found["computes"]:
        yield Check("torch", "fail", f"torch {found['version']} computes wrong values on the CPU", "install another version of torch", facts)
        return
    bf16 = "bf16 in hardware" if found["bf16"] else "no bf16 in hardware, so training takes fp32"
    text = f"torch {found['version']} computes with {found['threads']} threads on {have} CPU cores; {bf16}"
    yield Check("torch", "ok", text, facts=facts)


def gpu() -> Iterator[Check]:
    """The GPUs that torch sees, against those that the driver knows."""
    found, driver = _torch(), _driver()
    names = ", ".join(driver["names"])
    if isinstance(found, str):
        state = f"the driver ({driver['version']}) knows {names}" if names else "none that a driver knows"
        yield Check("gpu", "warn" if names else "ok", f"{state}; torch cannot be asked", "mend torch first" if names else "", driver)
        return
    facts = {"cuda": found["cuda"], "gpus": found["gpus"], "driver": driver}
    if not found["gpus"]:
        if not names:
            yield Check("gpu", "ok", "none; everything runs on the CPU", facts=facts)
            return
        why = "this torch is built without CUDA" if not found["cuda"] else f"this torch (CUDA {found['cuda']}) sees none"
        why += f": {plain(found['cuda_said'][0], 200)}" if found["cuda_said"] else ""
        remedy = "install a torch for this driver's CUDA" + ("; CUDA_VISIBLE_DEVICES hides GPUs" if os.environ.get("CUDA_VISIBLE_DEVICES") is not None else "")
        yield Check("gpu", "warn", f"the driver ({driver['version']}) knows {names}, but {why}", remedy, facts)
        return
    for each in found["gpus"]:
        free = f", {byte_count(each['free_bytes'])} free" if each["free_bytes"] is not None else ""
        text = f"{each['device']} {plain(each['name'], 80)}, {byte_count(each['bytes'])}{free}; driver {driver['version'] or 'unknown'}, CUDA {found['cuda']}"
        if each["computes"]:
            yield Check("gpu", "ok", text, facts=facts)
        else:
            broken = plain(each["error"], 200) or "it computes wrong values"
            yield Check("gpu", "fail", f"{text}; {broken}", "free it or mend it; until then --device cpu, or CUDA_VISIBLE_DEVICES=", facts)


def _driver() -> dict[str, Any]:
    """Version and GPUs by nvidia-smi, which comes with the driver; {"version": "", "names": []} without one."""
    command = shutil.which("nvidia-smi")
    try:
        if command:
            asked = [command, "--query-gpu=driver_version,name", "--format=csv,noheader"]
            done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=20, check=True)
            rows = [line.split(", ", 1) for line in done.stdout.splitlines() if ", " in line]
            return {"version": plain(rows[0][0], 40) if rows else "", "names": [plain(name, 80) for _, name in rows]}
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer is none
        pass
    return {"version": "", "names": []}
