"""What this plugin brings: names, and where the parts lie."""

from __future__ import annotations

from merzoo.hookspecs import hookimpl
from merzoo.registry import Register
from merzoo_baselines.models import MODELS


@hookimpl
def merzoo_register(register: Register) -> None:
    """Register the parts and models of the baselines."""
    register.backbone("flow-grid", "merzoo_baselines.flow_svm:FlowGrid", provides=("pooled",), summary="optical flow averaged over a grid of cells")
    register.head("svm", "merzoo_baselines.flow_svm:LinearSVMHead", needs=("pooled",), provides=("fitted",), summary="linear support vector machine, fitted")
    for model in MODELS:
        register.model(model)
