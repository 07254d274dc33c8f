"""Results as data frames: stored runs, leaderboard, curves, published numbers. Knows no output
format."""
