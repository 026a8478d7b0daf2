"""What keeps the project in order: gates, pins and generated tables."""
