"""LightmanNet for merzoo, as far as it is known: after the abstract of Wang et al., arXiv 2404.12024."""

__version__ = "0.1.0"
