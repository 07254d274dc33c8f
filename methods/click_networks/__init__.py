"""Networks that take clicks one at a time (RITM, f-BRS, FCFI) and the refinement only they use."""
