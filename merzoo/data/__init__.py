"""Clip tables, the clip store, and the synthetic faces."""
