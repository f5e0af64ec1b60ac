"""Compose files to `Project`: pure, reads files and the given environment, touches nothing else."""
