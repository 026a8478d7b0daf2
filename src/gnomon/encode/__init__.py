"""Encoders, and where models come from."""
