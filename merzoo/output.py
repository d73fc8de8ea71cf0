"""Results in a folder: prediction.json and prediction.png, all or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from merzoo.errors import RunError

if TYPE_CHECKING:
    from merzoo.prediction import Prediction

JSON, PICTURE = "prediction.json", "prediction.png"


def save(found: Prediction | Sequence[Prediction], folder: Path) -> list[Path]:
    """Write prediction.json (an object for one prediction, a list for several) and prediction.png, prediction-2.png, … for one face each.

    Returns their paths; raises `RunError`, and leaves nothing behind, where they cannot be written.
    """
    from merzoo.pictures import png

    many = [found] if not isinstance(found, Sequence) else list(found)
    value = [p.to_dict() for p in many] if isinstance(found, Sequence) else many[0].to_dict()
    files = {JSON: (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")}
    files |= {name: png(prediction) for name, prediction in zip(names(len(many))[1:], many, strict=True)}
    with writable(folder):
        return write_together(folder, files)


def names(faces: int) -> list[str]:
    """The files of a prediction for that many faces, the JSON first."""
    return [JSON, *(PICTURE if number == 1 else f"prediction-{number}.png" for number in range(1, faces + 1))]


def write_together(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder whole: all to temporary names first, then all renamed. Raises `RunError`."""
    scratch = {folder / name: folder / f".{name}.{uuid.uuid4().hex}.part" for name in files}
    try:
        for (path, temporary), data in zip(scratch.items(), files.values(), strict=True):
            if path.is_dir():
                raise RunError(f"{path} is a folder; move it away or give another --out")
            temporary.write_bytes(data)
        for path, temporary in scratch.items():
            temporary.replace(path)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        for temporary in scratch.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return list(scratch)


@contextlib.contextmanager
def writable(folder: Path | None) -> Iterator[None]:
    """Make a folder and prove that it can be written, before work that takes long. Folders made here go again if the work fails. None: nothing to do.

    Raises `RunError`.
    """
    if folder is None:
        yield
        return
    missing: list[Path] = []
    try:
        try:
            missing = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{uuid.uuid4().hex}.part"
            os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            probe.unlink()
        except (OSError, ValueError) as error:
            raise _refused(folder, error) from error
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError, ValueError):
                path.rmdir()
        raise


def _refused(folder: Path, error: Exception) -> RunError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return RunError(f"output folder {folder} is, or lies in, something that is no folder; give another --out")
    return RunError(f"output folder {folder} cannot be written ({getattr(error, 'strerror', None) or error}); give another --out")
