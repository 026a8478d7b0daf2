"""Training embedding models: any architecture, one score matrix. Wants the extra `gnomon[train]`."""
