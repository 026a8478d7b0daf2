"""Model folders, read and checked."""
