"""Distributed hyperparameter search on Ray: one YAML file in, a promoted checkpoint out."""

from __future__ import annotations

__version__ = "0.1.0"
