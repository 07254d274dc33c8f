"""Masks for boxes that somebody drew: the boxes as instances, the masks as COCO JSON. No scores."""
