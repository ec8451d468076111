"""What a stored table of zoom views tells: numbers as tables, pictures, and lists of hard images."""
