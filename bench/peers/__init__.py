"""The same job done by other libraries."""
