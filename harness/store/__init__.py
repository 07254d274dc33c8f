"""The run directory: what is written while a run computes, and read back. Draws no conclusions
from it."""
