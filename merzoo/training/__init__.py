"""Stages, and the engine that runs them."""
