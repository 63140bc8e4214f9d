"""Images: files come in, arrays and batches go out."""
