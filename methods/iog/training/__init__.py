"""Training IOG's networks: samples, losses, the loop, and its files."""
