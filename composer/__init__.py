"""Compose files run on Linux namespaces, with nobody else's daemon."""

__version__ = "0.1.0"
