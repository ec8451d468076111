"""The questions that a model can be asked, and what they share."""
