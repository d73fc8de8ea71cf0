"""Folders that merzoo writes to: where they lie, how large they are, whether they can be written, and the room beside them."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from merzoo.doctor.check import Check
from merzoo.entries import last_line
from merzoo.files import cache_folder
from merzoo.text import byte_count

SCARCE, LITTLE = 200e6, 5e9  # bytes free: nothing fits; the stores of one data set may not
SIZING_SECONDS = 5


def cache() -> Iterator[Check]:
    """merzoo's own: clip stores, and where data sets lie."""
    yield _folder("cache", cache_folder(), "set MERZOO_CACHE to a folder that can be written")


def hub_cache() -> Iterator[Check]:
    """huggingface_hub's: published weights."""
    try:
        from huggingface_hub import constants
    except Exception as error:
        yield Check("hub-cache", "warn", f"huggingface_hub does not work: {last_line(error)}", "pip install --force-reinstall huggingface_hub")
        return
    found = _folder("hub-cache", Path(constants.HF_HUB_CACHE).expanduser(), "set HF_HUB_CACHE to a folder that can be written")
    yield replace(found, state="warn") if found.state == "fail" else found  # what is embedded works without


def disk() -> Iterator[Check]:
    """Room where run folders go unless --out says otherwise."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    yield _room("disk", f"{byte_count(free)} free in this folder ({here})", free, {"folder": str(here), "free_bytes": free})


def _folder(name: str, folder: Path, elsewhere: str) -> Check:
    facts: dict[str, object] = {"folder": str(folder), "exists": folder.is_dir()}
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    why = _unwritable(there)
    if why:
        return Check(name, "fail", f"{folder}: {why}", elsewhere, facts | {"writable": False})
    free = shutil.disk_usage(there).free
    facts |= {"writable": True, "free_bytes": free}
    if there != folder:
        return _room(name, f"{folder}, not made yet; {byte_count(free)} free", free, facts)
    size, whole = _size(folder)
    facts |= {"bytes": size, "counted": whole}
    return _room(name, f"{folder} holds {'' if whole else 'more than '}{byte_count(size)}; {byte_count(free)} free", free, facts)


def _room(name: str, text: str, free: int, facts: dict[str, object]) -> Check:
    if free < SCARCE:
        return Check(name, "fail", text, "free space, or choose another disk", facts)
    return Check(name, "warn", text, "clip stores of large data sets need more: free space", facts) if free < LITTLE else Check(name, "ok", text, facts=facts)


def _unwritable(folder: Path) -> str:
    """Why nothing can be put into a folder, or "". A probe file tells, for rights alone know nothing of quotas and read-only disks."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    probe = folder / f".merzoo-doctor-{uuid.uuid4().hex}"
    try:
        with probe.open("xb") as file:
            file.write(b"merzoo doctor")
        probe.unlink()
    except OSError as error:
        probe.unlink(missing_ok=True)
        return f"cannot be written ({error.strerror})"
    return ""


def _size(folder: Path) -> tuple[int, bool]:
    """Bytes of the files below, links not followed, and whether all were counted: a large cache on a slow disk is not waited for."""
    total, until = 0, time.monotonic() + SIZING_SECONDS
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(place, file)).st_size  # noqa: PTH118  (three times as fast over many files)
            except OSError:
                continue
        if time.monotonic() > until:
            return total, False
    return total, True
