"""The rules that judge trials while they run."""
