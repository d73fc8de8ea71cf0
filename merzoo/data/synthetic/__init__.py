"""Synthetic faces: people who do not exist, whose action units move their skin along an onset, apex and offset; every truth is known."""

from merzoo.data.synthetic.dataset import GENERATOR_VERSION, ClipTruth, SyntheticFaces
from merzoo.data.synthetic.recipes import ACTION_UNITS
from merzoo.data.synthetic.script import CLASSES

__all__ = ["ACTION_UNITS", "CLASSES", "GENERATOR_VERSION", "ClipTruth", "SyntheticFaces"]
