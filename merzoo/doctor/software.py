"""Python, merzoo itself and the libraries it requires."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.doctor.check import Check, ProbeError, State, probe
from merzoo.text import plain
from merzoo.version import __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

CORE = "merzoo"  # the distribution
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")  # all install the module cv2
RAN = ((3, 11), (3, 12))  # versions of Python that the tests run with


def python() -> Iterator[Check]:
    """The interpreter against what merzoo requires."""
    version = platform.python_version()
    facts = {"version": version, "executable": sys.executable, "platform": platform.platform()}
    text = f"{version} ({sys.executable}) on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] in RAN:
        yield Check("python", "ok", text, facts=facts)
        return
    state: State = "fail" if sys.version_info < RAN[0] else "warn"
    ran = " and ".join(".".join(map(str, known)) for known in RAN)
    yield Check("python", state, f"{text}; merzoo is tested with {ran}", f"use Python {'.'.join(map(str, RAN[-1]))} if something fails", facts)


def merzoo() -> Iterator[Check]:
    """Which merzoo runs, and whether what is installed says the same."""
    import merzoo

    folder = str(next(iter(merzoo.__path__)))
    facts = {"version": __version__, "folder": folder}
    installed = _version_of(CORE)
    if installed is None:
        remedy = "install it, or nothing checks its requirements and the command `merzoo` is missing: pip install -e ."
        yield Check("merzoo", "warn", f"{__version__} in {folder}, which is not installed", remedy, facts)
    elif installed != __version__:
        yield Check("merzoo", "warn", f"{__version__} in {folder}, but {installed} is installed", "install it again: pip install -e .", facts)
    else:
        yield Check("merzoo", "ok", f"{__version__} in {folder}", facts=facts)


def dependencies() -> Iterator[Check]:
    """Each library that merzoo requires, against the version it requires; what is wrong has a line of its own."""
    lines = _requirements()
    if lines is None:
        yield Check("dependencies", "warn", "not known, for merzoo is not installed", "pip install -e .")
        return
    found: dict[str, str | None] = {}
    wrong = []
    for requirement in required(lines):
        version = _version_of(requirement.name)
        found[requirement.name] = version
        if why := _unmet(requirement, version):
            wrong.append(why)
    versions = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Check("dependencies", "ok", f"{len(found) - len(wrong)} of {len(found)} as required: {plain(versions)}", facts=dict(found))
    yield from wrong


def _requirements() -> list[str] | None:
    """Of the pyproject.toml of the checkout that runs, for what is installed for editing goes stale; else of the installed distribution; else None."""
    import merzoo

    try:
        project = tomllib.loads((Path(next(iter(merzoo.__path__))).parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if project["name"] == CORE:
            return list(project["dependencies"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return importlib.metadata.requires(CORE) or []
    except importlib.metadata.PackageNotFoundError:
        return None


def required(lines: list[str]) -> list[Requirement]:
    """The requirements that hold here, without extras. Raises `packaging.requirements.InvalidRequirement`."""
    from packaging.requirements import Requirement

    known = map(Requirement, lines)
    return [requirement for requirement in known if requirement.marker is None or requirement.marker.evaluate({"extra": ""})]


def unmet(requirement: Requirement, version: str | None) -> bool:
    """Whether this version (None: not installed) is another than is required."""
    return version is None or not requirement.specifier.contains(version, prereleases=True)


def _unmet(requirement: Requirement, version: str | None) -> Check | None:
    name = requirement.name
    wanted = f"{name}{requirement.specifier}"
    remedy = f"pip install '{wanted}'"
    if version is None and name == OPENCV[0]:
        for other in OPENCV[1:]:
            if (version := _version_of(other)) is not None:
                if unmet(requirement, version):
                    break
                return Check(name, "warn", f"{other} {version} stands in for it", f"pip uninstall {other}; {remedy}")
    if not unmet(requirement, version):
        return None
    return Check(name, "fail", f"{version or 'not installed'}; merzoo requires {wanted}", remedy, {"version": version, "requires": str(requirement.specifier)})


def _version_of(name: str) -> str | None:
    try:
        version: Any = importlib.metadata.version(name)
    except Exception:  # not installed, or its metadata is damaged
        return None
    return version if isinstance(version, str) else None


def opencv() -> Iterator[Check]:
    """One OpenCV alone, with the cascades that find faces."""
    wheels = {name: version for name in OPENCV if (version := _version_of(name)) is not None}
    again = f"pip uninstall -y {' '.join(OPENCV)}; pip install '{OPENCV[0]}>=4.10,<5'"
    if len(wheels) > 1:
        names = " and ".join(f"{name} {version}" for name, version in wheels.items())
        yield Check("opencv", "warn", f"{names} overwrite each other's files", again, {"wheels": wheels})
    try:
        found = probe("cv2")
    except ProbeError as error:
        yield Check("opencv", "fail", f"cv2 does not work: {error}", again)
        return
    if found["missing"]:
        what = "cv2 has no CascadeClassifier" if not found["classifier"] else f"cv2 lacks {', '.join(found['missing'])}"
        yield Check("opencv", "fail", f"{what} ({found['version']}); no face is found without", again, found)
    elif len(wheels) < 2:
        yield Check("opencv", "ok", f"cv2 {found['version']} with its cascades", facts=found)
