"""The derived indexes: caches that follow the catalog's journal."""
