"""What is shown: tables and charts, described once."""
