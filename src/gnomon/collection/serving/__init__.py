"""Which version a request is answered by, with its encoders and indexes."""
