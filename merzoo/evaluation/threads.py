"""How many threads a fold computes with, kept the same in whichever process it runs: bits depend on them, and those of several processes would fight."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def capped(threads: int) -> Iterator[None]:
    """Let torch, BLAS and OpenMP, and OpenCV use so many threads each, and as many as before afterwards."""
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    before, pictures = torch.get_num_threads(), cv2.getNumThreads()
    with threadpool_limits(threads):
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            cv2.setNumThreads(pictures)
