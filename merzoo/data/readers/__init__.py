"""Readers of data sets on disk: annotation sheets, folders of frames, and what is known to be wrong in them."""
