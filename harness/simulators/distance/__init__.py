"""Distance transforms and the deepest pixel of an error region. Knows no click and no session."""
