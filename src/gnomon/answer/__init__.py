"""Answers whose every sentence can be checked against the documents."""
