"""Multi-task training: emotions and the auxiliary tasks together, branches apart or end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from merzoo.builtin.supervised import Supervised
from merzoo.checks import check_number
from merzoo.errors import NeedsError, UsageError
from merzoo.interfaces import Strategy
from merzoo.making import make
from merzoo.recognizer import Recognizer
from merzoo.training.data import TrainingData
from merzoo.training.stages import GradientStage, ParameterGroup, Stage
from merzoo_famnet.fusion import PerBranch

MODES = ("apart", "end-to-end")
WEIGHT = "auxiliary_weight"  # what `supervised` calls aux_weight
RECIPE = {"epochs": 60, "batch_size": 32, "lr": 1e-4, "weight_decay": 1e-4}  # our choice


class MultiTask(Strategy):
    """Cross-entropy + aux_weight · Σ auxiliary losses; AdamW, cosine. Where a clip may carry several labels, binary cross-entropy of each.

    mode "apart": a stage for each of the backbone's branches, on its own inputs and batches, training that branch and its own layers of head and tasks; they
    are fused in tests. A backbone without branches trains as one. mode "end-to-end": one stage, all losses on the fused scores.
    branches: {branch: options of `recipe` that are other for it}. recipe: options of the strategy `supervised`, but for its auxiliary_weight.
    Raises `UsageError` for options that cannot be.
    """

    def __init__(
        self,
        mode: str = "apart",
        aux_weight: float = 1.0,
        branches: Mapping[str, Mapping[str, Any]] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"multi-task: mode {mode!r} is none of {', '.join(MODES)}")
        check_number("multi-task: aux_weight", aux_weight)
        self.mode, self.aux_weight = mode, float(aux_weight)
        self.recipe = _mapping("recipe", recipe)
        self.branches = {name: _mapping(f"branches.{name}", options) for name, options in _mapping("branches", branches).items()}
        for where, options in (("recipe", self.recipe), *((f"branches.{name}", options) for name, options in self.branches.items())):
            if WEIGHT in options:
                raise UsageError(f"multi-task: {where}.{WEIGHT} is said by aux_weight here, for all branches; set that instead")
        for branch in (None, *self.branches):
            self._supervised(branch)  # wrong options are known now

    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """One gradient stage a branch, "multi-task-BRANCH", or one of all, "multi-task".

        Options of branches say nothing to a backbone without any. Raises `UsageError` for those of a branch that a backbone with branches has not,
        `NeedsError` where a part cannot be taken apart.
        """
        known = recognizer.backbone.branches
        if known and (unknown := [name for name in self.branches if name not in known]):
            raise UsageError(f"multi-task: branch '{unknown[0]}' is none of this backbone's ({', '.join(known)}); leave its options out")
        if self.mode == "end-to-end" or not known:
            return [self._supervised().stage(recognizer, data, "multi-task")]
        return [self._branch(recognizer, data, branch) for branch in known]

    def _supervised(self, branch: str | None = None) -> Supervised:
        options = {**RECIPE, WEIGHT: self.aux_weight, **self.recipe, **self.branches.get(branch or "", {})}
        supervised: Supervised = make(Supervised, "strategy 'multi-task'", options)
        return supervised

    def _branch(self, recognizer: Recognizer, data: TrainingData, branch: str) -> GradientStage:
        """The stage of one branch: what supervised training would do, narrowed to its inputs and parameters."""
        supervised = self._supervised(branch)
        whole = supervised.stage(recognizer, data, f"multi-task-{branch}")
        others = set(recognizer.backbone.inputs) - set(recognizer.backbone.branches[branch])
        batches = whole.batches
        inputs, views = ({k: v for k, v in of.items() if k not in others} for of in (batches.inputs, batches.views))  # type: ignore[attr-defined]
        narrowed = replace(batches, inputs=inputs, views=views)  # type: ignore[type-var]
        own = _own("head", recognizer.head, branch)
        if supervised.auxiliary_weight:
            own += [path for name, task in recognizer.auxiliary.items() for path in _own(f"auxiliary.{name}", task, branch)]
        groups = (
            ParameterGroup((f"backbone.{branch}",), supervised.backbone_lr, supervised.weight_decay),
            ParameterGroup(tuple(own), supervised.lr, supervised.weight_decay),
        )
        return replace(whole, batches=narrowed, groups=groups)


def _own(path: str, part: nn.Module, branch: str) -> list[str]:
    """Paths of what a part has for one branch alone."""
    if not isinstance(part, PerBranch):
        raise NeedsError(f"multi-task training of branches apart, with '{path}',", ["layers for each branch (head late-fusion, or mode end-to-end)"])
    return [f"{path}.{inner}" for inner in part.paths(branch)]


def _mapping(name: str, options: Any) -> Mapping[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"multi-task: {name} takes options by name, not {options!r}")
    return options or {}
