"""The report of a training run, with its figures."""
