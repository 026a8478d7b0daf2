"""Changing and watching a collection that serves."""
