"""Adapters that run attempts somewhere."""
