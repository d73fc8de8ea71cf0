"""MIACNet and MA2MI for merzoo (Li, Niu and Zhao, arXiv 2405.16451)."""

__version__ = "0.1.0"
