"""Ours beside docker compose, docker, podman and buildah, in turns on one machine. Ratios, never assertions."""
