"""Training functions that were written for Ray Tune or Optuna, run as they stand.

`forms` tells them by their source, `calling` calls them, `tune` and `trials` are what they find in place of their own.
"""
