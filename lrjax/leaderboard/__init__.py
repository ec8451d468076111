"""The leaderboard: published results, own runs among them, and the claims that are put to them."""
