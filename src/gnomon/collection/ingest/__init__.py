"""Files to chunks to vectors to rows of the catalog."""
