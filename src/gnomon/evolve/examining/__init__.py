"""Looking inside: what is in a collection or another store, what is wrong, which model made the vectors."""
