"""Protocols, run folders, scores and their intervals. numpy alone at import."""

from merzoo.evaluation.scores import Predictions, Scores, scores

__all__ = ["Predictions", "Scores", "scores"]
