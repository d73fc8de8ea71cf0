"""FAMNet for merzoo (Fu, Wu, Huang and Yin, arXiv 2508.13483)."""

__version__ = "0.1.0"
