"""One run: read its recipe, load, evaluate, train, evaluate again."""
