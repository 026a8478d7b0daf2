"""Readers of other stores: each gives ids, vectors and texts, in batches, and changes nothing."""
