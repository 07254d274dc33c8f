"""Methods that mark the ends of the scale: bounds, nearest click, ellipse. None uses the
image's colours."""
