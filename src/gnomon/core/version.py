"""The version of this gnomon: hatch reads it from here."""

__version__ = "0.2.0"
