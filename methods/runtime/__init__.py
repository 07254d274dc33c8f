"""How a network runs: device, transfers, precision, layout, checkpoint files. Knows no method."""
