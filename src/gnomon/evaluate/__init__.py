"""Judgments, metrics, significance and power: numbers with error bars, and a verdict."""
