"""A checkpoint comes in, something that runs without us goes out."""
