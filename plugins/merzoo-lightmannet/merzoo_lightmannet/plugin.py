"""What this plugin brings: names, and where the parts lie."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register
from merzoo_lightmannet.models import lightmannet


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register the parts and the model of LightmanNet."""
    register.backbone(
        "lightmannet",
        "merzoo_lightmannet.backbone:LightmanNet",
        provides=("pooled", "maps", "pair-code", "no-running-statistics", "twice-differentiable"),
        summary="ResNet-18 with group norm on the apex and on its difference to the onset",
    )
    register.auxiliary_task(
        "macro-alignment",
        "merzoo_lightmannet.alignment:MacroAlignment",
        needs=("pooled", "macro-episodes"),
        provides=("macro-alignment",),
        summary="micro- and macro-expressions of one emotion lie close in an embedding",
    )
    register.strategy(
        "meta-auxiliary",
        "merzoo_lightmannet.strategy:MetaAuxiliary",
        needs=("macro-clips", "no-running-statistics", "twice-differentiable", "macro-alignment"),
        provides=("macro-episodes",),
        summary="episodes across people: learn from both tasks (level 1) what helps with other people's micro-expressions (level 2)",
    )
    register.model(lightmannet())
