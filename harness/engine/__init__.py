"""The loop that runs a method on instances with a simulator; no other processes, no files."""
