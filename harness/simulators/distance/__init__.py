"""Distance transforms and the deepest pixel of an error region. They use no
click and no session."""
