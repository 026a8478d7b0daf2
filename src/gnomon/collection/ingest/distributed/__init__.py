"""An index run whose files are read and embedded by the machines of a Ray cluster."""
