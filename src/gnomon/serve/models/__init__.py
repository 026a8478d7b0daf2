"""Models that are served, by the names that requests have for them."""
