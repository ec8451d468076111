"""Images and texts: sources, data sets, tokenizers, loader."""
