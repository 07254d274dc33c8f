"""Decoders, paths and lists that several data sets share. Registers no data set."""
