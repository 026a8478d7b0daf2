"""Verification of answers against their passages."""
