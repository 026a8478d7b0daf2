"""What a request is pinned to: a version with its encoders and indexes."""
