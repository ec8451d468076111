"""What a stored table of zoom views tells: numbers as tables, and pictures."""
