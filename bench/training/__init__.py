"""What training gains."""
