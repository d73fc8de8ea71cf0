"""The ways a network can be run: precision, memory layout, and whether it is run operation by operation, compiled, or as a captured graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from merzoo.interfaces import Batch
from merzoo.training.engine import channels_last
from merzoo.training.machine import Machine

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Layout = Literal["contiguous", "channels-last"]
Mode = Literal["eager", "compiled", "cuda-graph"]
Forward = Callable[[Batch], Tensor]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
CAPTURE_WARM_UP = 3  # calls on a side stream before a capture, as torch asks


@dataclass(frozen=True, order=True)
class Variant:
    """One way to run a network."""

    precision: Precision = "fp32"
    layout: Layout = "channels-last"
    mode: Mode = "eager"

    def __str__(self) -> str:
        return f"{self.precision} {self.mode}" + ("" if self.layout == "channels-last" else f" {self.layout}")


def choose(machine: Machine, precisions: Iterable[Precision] = (), layouts: Iterable[Layout] = (), modes: Iterable[Mode] = ()) -> list[Variant]:
    """The variants asked for, in all combinations; where nothing is asked, those that suit the device.

    On a CPU fp32, and bf16 where it multiplies that, eager; on a GPU all four precisions eager, and fp32 and bf16 compiled and as a graph (the other two
    gain the same way).
    """
    given, ways, layouts = tuple(precisions), tuple(modes), tuple(layouts) or ("channels-last",)
    if machine.device == "cpu":
        suited: tuple[Precision, ...] = ("fp32", "bf16") if Machine.of("cpu").precision == "bf16" else ("fp32",)
        pairs = [(precision, mode) for precision in given or suited for mode in ways or ("eager",)]
    else:
        pairs = [(precision, mode) for mode in ways or get_args(Mode) for precision in given or _suited(mode, bool(ways))]
    return [Variant(precision, layout, mode) for layout in layouts for precision, mode in pairs]


def _suited(mode: Mode, asked: bool) -> tuple[Precision, ...]:
    return get_args(Precision) if mode == "eager" or asked else ("fp32", "bf16")


def impossible(variant: Variant, device: torch.device) -> str:
    """Why a device cannot run a variant; "" where it can."""
    if device.type == "cpu":
        if variant.mode == "cuda-graph":
            return "a CPU has no CUDA graphs"
        if variant.precision == "tf32":
            return "tf32 is a mode of a GPU's matrix units"
        if variant.precision == "fp16":
            return "fp16 on a CPU is kept for storage; bf16 is what it multiplies"
        return ""
    if variant.precision in ("tf32", "bf16") and torch.cuda.get_device_capability(device) < (8, 0):
        return f"this GPU's matrix units have no {variant.precision}"
    return ""


@contextmanager
def flags(precision: Precision, device: torch.device) -> Iterator[None]:
    """What a GPU may do with numbers in fp32: round them to TF32 if that is asked, else be IEEE's throughout (torch's own default rounds in convolutions).
    What was set before is set again.

    By `allow_tf32`: torch keeps that in step with its newer `fp32_precision`, and not the other way round; its compiler asks for the older, and fails where
    the two differ.
    """
    parts: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn) if device.type == "cuda" else ()
    before = [part.allow_tf32 for part in parts]
    try:
        for part in parts:
            part.allow_tf32 = precision == "tf32"
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.allow_tf32 = value


def autocast(precision: Precision, device: torch.device, cache: bool = True) -> AbstractContextManager[Any]:
    """The context of a forward pass. Autocast and not weights cast as a whole, since networks compute differences of inputs: apex minus onset in 8 bits of
    mantissa would lose the movement."""
    return torch.autocast(device.type, AUTOCAST[precision], cache_enabled=cache) if precision in AUTOCAST else nullcontext()


def lay_out(network: nn.Module, layout: Layout) -> None:
    """Lay out the weights of convolutions."""
    if layout == "channels-last":
        channels_last(network)
        return
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()


def runner(network: nn.Module, variant: Variant, example: Batch, device: torch.device) -> Forward:
    """A function batch -> logits [B, classes] that runs the network in a variant, without gradients. It is made and called under `flags` of its precision.
    example: a batch of the size that it will get.

    A graph takes its inputs from fixed memory and leaves its output there: copying the batch in and the logits out is part of what the function does, and
    of what is timed. Whatever compiling or capturing raises is the caller's to tell.
    """
    lay_out(network, variant.layout)
    if variant.mode == "cuda-graph":
        return _captured(network, variant.precision, example, device)
    run: Any = network
    if variant.mode == "compiled":
        torch.compiler.reset()
        run = torch.compile(network, dynamic=False)

    def forward(batch: Batch) -> Tensor:
        with torch.inference_mode(), autocast(variant.precision, device):
            logits: Tensor = run(batch)
        return logits

    if variant.mode == "compiled":
        forward(example)  # compiles now, and not in the time of the warm-up
    return forward


def _captured(network: nn.Module, precision: Precision, example: Batch, device: torch.device) -> Forward:
    inputs = {name: tensor.clone() for name, tensor in example.items()}
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    # No cache of cast weights: its tensors would be freed when the context ends, and the graph would read them.
    # The outermost stream: after a capture that fails, torch leaves its own the current one.
    before = torch.cuda.stream(torch.cuda.current_stream(device))
    with torch.cuda.device(device), before, torch.inference_mode(), autocast(precision, device, cache=False):
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_WARM_UP):
                network(inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        with torch.cuda.graph(graph):
            output = network(inputs)

    def forward(batch: Batch) -> Tensor:
        with torch.inference_mode():
            for name, tensor in batch.items():
                inputs[name].copy_(tensor)
            graph.replay()
            logits: Tensor = output.clone()
        return logits

    return forward
