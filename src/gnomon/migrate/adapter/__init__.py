"""Embedding adapters: queries of a new model answered from the vectors of the old one."""
