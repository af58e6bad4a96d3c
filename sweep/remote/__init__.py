"""Verbs of the command for a cluster that this machine only reaches at its dashboard's address."""
