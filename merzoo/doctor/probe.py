"""Looks at one heavy library, in a process of its own (`python -m merzoo.doctor.probe torch`), and prints what it found as one line of JSON."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any


def torch_facts() -> dict[str, Any]:
    """Version, threads, whether small computations on the CPU and on each GPU come out right, and what the hardware can do."""
    import torch

    from merzoo.training.machine import Machine

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        seen = torch.cuda.is_available()
    facts: dict[str, Any] = {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "computes": _computes("cpu"),
        "bf16": Machine.of("cpu").precision == "bf16",
        "cuda": torch.version.cuda,
        "cuda_seen": seen,
        "cuda_said": [str(warning.message).splitlines()[0] for warning in said if str(warning.message)],
        "gpus": [],
    }
    for number in range(torch.cuda.device_count() if seen else 0):
        facts["gpus"].append(_gpu(number))
    return facts


def _gpu(number: int) -> dict[str, Any]:
    import torch

    device = f"cuda:{number}"
    about = torch.cuda.get_device_properties(number)
    facts = {"device": device, "name": about.name, "bytes": about.total_memory, "capability": f"{about.major}.{about.minor}"}
    try:
        free, _ = torch.cuda.mem_get_info(number)
        return facts | {"free_bytes": free, "computes": _computes(device), "error": ""}
    except RuntimeError as error:  # out of memory, no kernel for this capability
        return facts | {"free_bytes": None, "computes": False, "error": (str(error).splitlines() or [""])[0]}


def _computes(device: str) -> bool:
    """A convolution of ones with ones, and its gradient, whose values are known."""
    import torch

    picture = torch.ones(1, 3, 8, 8, device=device, requires_grad=True)
    made = torch.nn.functional.conv2d(picture, torch.ones(4, 3, 3, 3, device=device))
    made.sum().backward()
    middle = picture.grad[0, :, 2:6, 2:6] if picture.grad is not None else torch.zeros(1)
    return bool(torch.allclose(made, torch.full_like(made, 27.0)) and torch.allclose(middle, torch.full_like(middle, 36.0)))


def cv2_facts() -> dict[str, Any]:
    """Version, and whether the cascades that find faces are there and load."""
    import cv2

    from merzoo.faces.detect import EYE_CASCADE, FACE_CASCADE

    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    has = hasattr(cv2, "CascadeClassifier")
    missing = [name for name in (FACE_CASCADE, EYE_CASCADE) if not has or cv2.CascadeClassifier(str(Path(folder) / name)).empty()]
    return {"version": getattr(cv2, "__version__", ""), "classifier": has, "missing": missing}


if __name__ == "__main__":
    looks = {"torch": torch_facts, "cv2": cv2_facts}
    print(json.dumps(looks[sys.argv[1]](), default=str))
