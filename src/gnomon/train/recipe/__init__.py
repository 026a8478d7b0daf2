"""Recipes: training runs described in TOML."""
