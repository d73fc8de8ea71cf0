"""What this plugin brings: names, and where the parts lie."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register
from merzoo_famnet.models import amnet2d, amnet3d, famnet


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register the parts and models of FAMNet."""
    where = "merzoo_famnet.backbones"
    seen = ("pooled", "maps")
    register.backbone("amnet2d", f"{where}:AMNet2D", provides=seen, summary="ResNet-18 with attention after each stage, on the apex frame")
    register.backbone("amnet3d", f"{where}:AMNet3D", provides=(*seen, "pair-code"), summary="the same in 3D, on the clip from onset to offset")
    register.backbone("famnet", f"{where}:FAMNet", provides=(*seen, "pair-code"), summary="both side by side, as branches that can be trained apart")
    register.head("late-fusion", "merzoo_famnet.fusion:LateFusion", needs=("pooled",), summary="scores of each branch, weighed and summed")
    register.auxiliary_task(
        "au-detection",
        "merzoo_famnet.detection:AuDetection",
        needs=("au-labels", "pooled"),
        summary="detect action units on the same trunk; clips that nobody coded are left out",
    )
    register.strategy(
        "multi-task",
        "merzoo_famnet.strategy:MultiTask",
        provides=("multi-label",),
        summary="emotions and auxiliary tasks together, the backbone's branches apart or end to end",
    )
    for model in (famnet(), amnet2d(), amnet3d()):
        register.model(model)
