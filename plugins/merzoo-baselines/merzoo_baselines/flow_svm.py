"""The baseline that is fitted and not trained: optical flow averaged over a grid, and a linear support vector machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from merzoo.checks import check_number
from merzoo.data.clips import Clips
from merzoo.errors import TrainingError
from merzoo.interfaces import Backbone, Batch, Features, Head
from merzoo.recognizer import Recognizer
from merzoo.specs import View
from merzoo.training.batches import test_batches
from merzoo_baselines.motion import check_sizes

NEVER = -1e30  # the logit of a class without training clips: below any other, and finite


class FlowGrid(Backbone):
    """Optical flow from start to peak, minus its median over the face (which removes most head motion), averaged over grid x grid cells.

    pooled {"flow": [B, 2 * grid²]} in pixels. It has no parameters. Our choice of features: the plain baseline that any network should beat.
    Raises `UsageError` for options that cannot be.
    """

    def __init__(self, size: int = 112, grid: int = 12) -> None:
        super().__init__()
        check_sizes("flow-grid", size, grid, least=1)
        self.views = {"flow": View("flow")}
        self.inputs = {"flow": (2, size, size)}
        self.grid = grid

    def forward(self, batch: Batch) -> Features:
        """See the class."""
        flow = batch["flow"]
        moved = flow - flow.flatten(2).median(dim=2).values[:, :, None, None]
        cells = nn.functional.adaptive_avg_pool2d(moved, self.grid)
        return Features(pooled={"flow": cells.flatten(1)}, maps={})


class LinearSVMHead(Head):
    """A linear SVM, one class against the rest, on standardised features. `fit` writes its coefficients into buffers, so weights stay safetensors.

    c: inverse strength of regularisation. Logits are signed distances to the margins; their softmax ranks classes and is no calibrated probability.
    Raises `UsageError` unless c is a number above 0.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, features: Features, classes: int, c: float = 0.01) -> None:
        super().__init__()
        check_number("svm: c", c, above=True)
        width = features.only_pooled().shape[1]
        self.c, self.classes = c, classes
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("weight", torch.zeros(classes, width))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return ((features.only_pooled() - self.mean) / self.scale) @ self.weight.T + self.bias

    def fit(self, recognizer: Recognizer, clips: Clips) -> None:
        """Fit to the annotated intervals of these clips and nothing else, to their first look; a class that they lack is never predicted.

        Raises `TrainingError` where fewer than two classes, or clips without a label, are among them.
        """
        import numpy as np
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        present = np.unique(clips.labels)
        if len(present) < 2 or present[0] < 0:
            raise TrainingError("an SVM is fitted to labelled clips of at least two classes; give data with more subjects")
        device = self.weight.device
        with torch.no_grad():
            looks = test_batches(clips, recognizer.backbone.inputs, recognizer.train_views, 64, device)
            rows = [recognizer.backbone(batch).only_pooled().cpu() for _, batches in looks for batch in batches[:1]]
        x, y = torch.cat(rows).double().numpy(), clips.labels
        scaler = StandardScaler().fit(x)
        svm = LinearSVC(C=self.c, class_weight="balanced", random_state=0, max_iter=20_000).fit(scaler.transform(x), y)
        # With two classes scikit-learn keeps one row, positive for the second.
        rows_of = svm.coef_ if len(present) > 2 else np.concatenate([-svm.coef_, svm.coef_])
        bias_of = svm.intercept_ if len(present) > 2 else np.concatenate([-svm.intercept_, svm.intercept_])
        self.mean.copy_(torch.from_numpy(scaler.mean_))
        self.scale.copy_(torch.from_numpy(scaler.scale_))
        self.weight.zero_()
        self.bias.fill_(NEVER)
        index = torch.from_numpy(present).to(device)
        self.weight[index] = torch.from_numpy(rows_of).to(self.weight)
        self.bias[index] = torch.from_numpy(bias_of).to(self.bias)
