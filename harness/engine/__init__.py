"""The loop that runs a method on instances with a simulator. Knows no process but its own and no
file."""
