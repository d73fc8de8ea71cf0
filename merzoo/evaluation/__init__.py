"""Protocols, run folders, scores and their intervals. numpy alone at import."""

from merzoo.evaluation.multilabel import MultilabelScores, multilabel_scores
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.scores import Scores, scores

__all__ = ["MultilabelScores", "Predictions", "Scores", "multilabel_scores", "scores"]
