"""What several methods do before and after a network: boxes, crops, zoom-in, flips, point maps.
No weights."""
