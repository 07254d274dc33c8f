"""Labelling: boxes become instances, their masks become COCO JSON. Nothing is scored here."""
