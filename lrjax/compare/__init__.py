"""Two systems compared on the same examples: models, variants, runs, and what other programs answered."""
