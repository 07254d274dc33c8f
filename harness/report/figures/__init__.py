"""Figures for print: curves, distributions, speed, success. Tables and the page are elsewhere."""
