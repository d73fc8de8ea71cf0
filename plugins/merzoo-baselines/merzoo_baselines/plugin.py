"""What this plugin brings: names, and where the parts lie."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register
from merzoo_baselines.models import MODELS


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register the parts and models of the baselines."""
    register.backbone("flow-grid", "merzoo_baselines.flow_svm:FlowGrid", provides=("pooled",), summary="optical flow averaged over a grid of cells")
    register.backbone(
        "ststnet",
        "merzoo_baselines.ststnet:STSTNet",
        provides=("pooled", "maps", "pair-code", "twice-differentiable"),
        summary="three streams of one convolution each on optical strain and flow",
    )
    register.backbone(
        "off-apexnet",
        "merzoo_baselines.off_apexnet:OffApexNet",
        provides=("pooled", "maps", "pair-code", "no-running-statistics", "twice-differentiable"),
        summary="two streams of two convolutions each on horizontal and vertical optical flow",
    )
    register.backbone("lbp-top", "merzoo_baselines.lbp_top:LBPTOP", provides=("pooled",), summary="local binary patterns on three orthogonal planes, in blocks")
    register.head("svm", "merzoo_baselines.flow_svm:LinearSVMHead", needs=("pooled",), provides=("fitted",), summary="linear support vector machine, fitted")
    for model in MODELS:
        register.model(model)
