"""Changing and monitoring a collection that serves."""
