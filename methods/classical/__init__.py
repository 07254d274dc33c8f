"""Methods without learned weights that segment by colour and contrast, and what only they share."""
