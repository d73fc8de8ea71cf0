"""What a backbone takes and gives: checked as it is built, since a beginner's plugin says it wrong more often than not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from merzoo.blame import told
from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Features
from merzoo.specs import Config, View
from merzoo.text import plain

MAX_INPUT = 2**27  # numbers of one sample: half a gigabyte, or 300 colour frames of 384 px


def feature_shapes(backbone: Backbone, options: Config | None = None) -> Features:
    """Shapes of a backbone's features for one sample, as meta tensors; the backbone stays as it was. Raises `UsageError` where its inputs do not suit it.

    Told by one forward pass of zeros: a pass on the meta device computes less but costs a second, since it makes torch import its compiler.
    options: what it was built with, for the message.
    """
    _check_inputs(backbone)
    if sum(math.prod(shape) for shape in backbone.inputs.values()) > MAX_INPUT:
        raise UsageError(f"{type(backbone).__name__} wants more than {MAX_INPUT:,} numbers a sample; give other options")
    batch = {name: torch.zeros((1, *shape)) for name, shape in backbone.inputs.items()}
    modes = {module: module.training for module in backbone.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in backbone.buffers()]
    backbone.eval()
    try:
        with torch.no_grad():
            real = backbone(batch)
    except Exception as error:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in backbone.inputs.items())
        package = type(backbone).__module__.partition(".")[0]
        given = ", ".join(f"{name}={value!r}" for name, value in (options or {}).items())
        mend = "" if package == "merzoo" else f"mend the forward of the plugin's {type(backbone).__name__}"
        remedies = [mend, f"give other options than {plain(given, 120)}" if given else ""]
        remedy = ", or ".join(each for each in remedies if each) or "give other options"
        raise UsageError(f"{type(backbone).__name__} cannot take its inputs {shapes}: {told(error, package)}; {remedy}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
        for buffer, before in buffers:
            buffer.copy_(before)
    _check_features(backbone, real)
    return Features(*({name: torch.empty_like(t, device="meta") for name, t in part.items()} for part in (real.pooled, real.maps, real.extras)))


def own_views(backbone: Backbone) -> Mapping[str, View]:
    """The view that each input is drawn from where a model says nothing else. Raises `UsageError` where the backbone does not say."""
    views: Any = getattr(backbone, "views", None)
    if not (isinstance(views, Mapping) and views and all(isinstance(view, View) for view in views.values())):
        example = ", ".join(f'"{name}": View("flow")' for name in backbone.inputs)
        raise UsageError(f"{_owner(backbone)} does not say which views it sees; in its __init__ set self.views = {{{example}}}, each with a view of its own")
    return views


def _check_inputs(backbone: Backbone) -> None:
    """Raise `UsageError` unless a backbone says which inputs it takes: without them nothing can be drawn for it."""
    inputs: Any = getattr(backbone, "inputs", None)
    if isinstance(inputs, Mapping) and inputs and all(_is_shape(shape) for shape in inputs.values()):
        return
    why = f"has the inputs {plain(inputs, 80)}, which are no shapes by their names" if inputs else "does not say which inputs it takes"
    raise UsageError(f'{_owner(backbone)} {why}; in its __init__ set self.inputs = {{"flow": (2, 112, 112)}}, the name and the shape of one sample of each')


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and len(shape) > 0 and all(isinstance(side, Integral) and int(side) >= 0 for side in shape)


def _owner(backbone: Backbone) -> str:
    kind = type(backbone)
    return f"backbone {kind.__name__} of {kind.__module__}"


def _check_features(backbone: Backbone, given: Any) -> None:
    """Raise `UsageError` unless a forward pass gave features: a tensor is what a network of torch returns elsewhere."""
    must = f"the forward of {_owner(backbone)} must return merzoo.interfaces.Features, as in `return Features(pooled={{\"…\": x}})`"
    if not isinstance(given, Features):
        raise UsageError(f"{must}, not a {type(given).__name__}")
    for field in dataclasses.fields(Features):
        part = getattr(given, field.name)
        if not (isinstance(part, Mapping) and all(isinstance(value, Tensor) for value in part.values())):
            raise UsageError(f"{must}; its {field.name} is no mapping of names to tensors")
