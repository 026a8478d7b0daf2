"""What commands print: hits, answers and migrations."""
