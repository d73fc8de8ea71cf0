"""One thread of torch for all tests: they are many small computations, and the CPU kernels of torch 2.15 for 1x1 convolutions with a stride, of 8 channels or
fewer in channels-last memory, write where they should not with several threads (seen with 2; 16 channels and more are sound)."""

from __future__ import annotations

import torch


def pytest_configure() -> None:
    """Before anything is collected."""
    torch.set_num_threads(1)
