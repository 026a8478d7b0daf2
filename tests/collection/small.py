"""A small folder's texts and a toy encoder."""

from __future__ import annotations

from gnomon.testing.toys import HashEncoder

TEXTS = {
    "sundial.md": "# Sundials\n\nA gnomon is the part of a sundial that casts the shadow.\n",
    "whales.txt": "The blue whale is the largest animal known to have lived.\n",
    "deep/tea.txt": "Green tea is brewed at seventy degrees; black tea takes boiling water.\n",
    "deep/code.py": "def parseConfigFile(path):\n    '''Read the settings of the kettle.'''\n    return path\n",
}


def encoder() -> HashEncoder:
    return HashEncoder(64, max_tokens=48)
