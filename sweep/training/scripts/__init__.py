"""A trial whose training code is a script of its own process: `command` in the search file.

::

    driver <── Channel ── supervisor.py     the attempt's thread; inline, the driver
                            │  guard.py     a process that ends the script's, whoever dies
                            ├─ script       its words on a pipe: output.py, sweep.core.metric_lines
                            └─ listener.py  a socket for scripts that speak: client.py is their side

The supervisor trains nothing and imports no torch.
"""
