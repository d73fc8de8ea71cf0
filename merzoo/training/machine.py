"""Where and how training and tests compute."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from merzoo.errors import UsageError
from merzoo.training.world import ALONE, World


@dataclass(frozen=True)
class Machine:
    """Where and how to compute. precision: "fp32", or "bf16" for autocast; threads: of torch on the CPU, part of what makes a run repeat bit for bit;
    world: the processes that share the work."""

    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 1
    world: World = ALONE

    @classmethod
    def of(cls, device: str = "auto", precision: str = "auto", threads: int = 0) -> Machine:
        """This machine: "auto" takes a GPU where there is one, and bf16 where the hardware multiplies it. Raises `UsageError` for an absent device."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device != "cpu" and not re.fullmatch(r"cuda(:\d+)?", device):
            raise UsageError(f"device '{device}' is neither auto, cpu nor cuda")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no GPU here; use --device cpu")
        if precision == "auto":
            fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else _cpu_multiplies_bf16()
            precision = "bf16" if fast else "fp32"
        if precision not in ("fp32", "bf16"):
            raise UsageError(f"precision '{precision}' is neither fp32, bf16 nor auto")
        return cls(device, precision, threads or torch.get_num_threads())

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass in training."""
        return torch.autocast(self.device.split(":")[0], torch.bfloat16) if self.precision == "bf16" else nullcontext()


def _cpu_multiplies_bf16() -> bool:
    """Whether this processor has instructions for bf16; a torch too old to tell counts as no."""
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
