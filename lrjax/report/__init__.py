"""The report: tables of the user's runs, the leaderboard, and the HTML pages that show both."""
