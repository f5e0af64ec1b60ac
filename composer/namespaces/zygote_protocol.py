"""What both sides of the zygote's socket know."""

from __future__ import annotations

MESSAGE = 1 << 20
"""Bytes of the longest request: an environment may have megabytes elsewhere, execve takes less than two."""
