"""A sampler that learns from every rung: one model of all learning curves, over config and fidelity.

`model.py` is the model, `encoding.py` says configs in its terms, `table.py` gathers what trials have reported,
`search.py` decides what to run next, and `sampler.py` makes an Optuna sampler of it, which can be used on its own.
"""
