"""Vectors and words by integer id: never text beyond the words, never a model. `exact` judges the rest."""
