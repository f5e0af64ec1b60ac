"""Warnings of a load: collected, each once, never printed here."""

from __future__ import annotations


class Warnings:
    """Sentences in order of first appearance."""

    def __init__(self) -> None:
        self.messages: dict[str, None] = {}

    def add(self, message: str) -> None:
        """Add a sentence unless it is there."""
        self.messages[message] = None

    def unset(self, name: str) -> None:
        """A variable without value and default was used."""
        self.add(f'The "{name}" variable is not set. Defaulting to a blank string.')
