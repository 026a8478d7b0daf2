"""Values, errors and contracts, and what every package needs of files and settings."""
