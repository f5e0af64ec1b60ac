"""What lasts: where state lives, how files are written, who may write."""
