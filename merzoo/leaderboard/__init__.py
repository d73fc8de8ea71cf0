"""The board: a pure function of a folder of runs."""
