"""Readers (files to Documents) and chunking (Documents to Chunks that know their offsets)."""
