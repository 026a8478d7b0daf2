"""Public conformance checks for every contract, and toy parts to test with."""
