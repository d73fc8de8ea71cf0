"""Baselines for merzoo: the floor that every paper's network should be seen above."""

__version__ = "0.1.0"
