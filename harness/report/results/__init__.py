"""Results as data frames: stored runs, leaderboard, curves, published numbers. Nothing here
depends on an output format."""
