"""Forte's network for 99% accuracy. The network itself is in `nets`."""
