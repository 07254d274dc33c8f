"""Training IOG's networks: samples, losses, the loop, and what it leaves behind."""
