"""Pictures of single instances: clicks, masks, contact sheets. Statistics are elsewhere."""
