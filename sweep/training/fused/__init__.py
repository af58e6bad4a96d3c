"""Fused trials: trials of one architecture that differ only in numbers train together, as one batch of models.

::

    keys.py         which trials can be, and with which others; free of torch, for the driver asks too
    attempt.py      one trial's attempt: joins, reports and leaves by itself
    engine.py       one thread a process trains whatever lanes are there, an epoch at a time
    lane.py         one trial's model, optimizer and schedule, as separate training has them
    batch.py        K lanes as one: weights (K, N), one forward pass and one backward pass for all
    skeleton.py     the model that computes all of them, from rows of weights; compiled when asked for
    products.py     its layers that are plain products
    optimizers.py   SGD, Adam and AdamW over (K, N), each row with its own numbers
    dropout.py      masks that each lane draws from its own generator
"""
