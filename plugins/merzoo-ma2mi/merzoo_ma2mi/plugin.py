"""What this plugin brings: names, and where the parts lie."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register
from merzoo_ma2mi.models import miacnet, miacnet_ma2mi


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register the parts and models of MIACNet and MA2MI."""
    register.backbone(
        "miacnet",
        "merzoo_ma2mi.miacnet:MIACNet",
        provides=("pooled", "maps", "pair-code", "attention"),
        summary="what moves between two frames and where on the face: two branches, one code of the pair",
    )
    register.head("flatten", "merzoo_ma2mi.heads:FlattenHead", needs=("maps",), summary="one linear layer on all cells of a map")
    register.auxiliary_task(
        "future-frame",
        "merzoo_ma2mi.future_frame:FutureFrame",
        needs=("pair-code",),
        provides=("future-frame",),
        summary="rebuild the later frame, in a latent space, from the earlier one and the pair code",
    )
    register.strategy(
        "ma2mi",
        "merzoo_ma2mi.strategy:MA2MI",
        needs=("macro-clips", "pair-code", "future-frame"),
        provides=("multi-label",),
        summary="pre-train on macro-expression videos by rebuilding near-future frames, then fine-tune",
    )
    register.model(miacnet_ma2mi())
    register.model(miacnet())
