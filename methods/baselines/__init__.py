"""Methods that mark the ends of the scale: bounds, nearest click, ellipse. None looks at the
image's colours."""
