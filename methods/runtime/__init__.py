"""How a network runs: device, transfers, precision, layout, checkpoint files. It depends on no
method."""
