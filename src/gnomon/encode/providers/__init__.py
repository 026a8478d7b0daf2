"""Models behind an address: vectors and scores that are bought from a provider, or come from a server of one's own."""
