"""Leaderboards, curves and pictures from stored traces."""
