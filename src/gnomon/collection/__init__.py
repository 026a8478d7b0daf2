"""One named corpus: catalog, ingest, search. The room that wires the others."""
