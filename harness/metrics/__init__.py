"""Scores of masks and traces, and their intervals: pure functions on arrays and data frames.
Reads no file."""
