"""Helpers for the tests of merzoo and of its plugins."""
