"""What comes from outside: read, checked and shown safely."""
