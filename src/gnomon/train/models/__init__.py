"""Trainable models, built, loaded and saved."""
