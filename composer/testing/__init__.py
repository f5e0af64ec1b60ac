"""Whole environments as pytest fixtures."""
