"""Adapters to libraries that propose configs."""
