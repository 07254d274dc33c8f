"""Fetching, unpacking and checking archives and checkpoints. Knows neither how they are read nor
who uses them."""
