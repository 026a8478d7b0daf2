"""The catalog: the one source of truth, in SQLite."""
