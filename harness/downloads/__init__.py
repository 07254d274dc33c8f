"""Fetching, unpacking and checking archives and checkpoints. It depends on
neither their format nor their users."""
