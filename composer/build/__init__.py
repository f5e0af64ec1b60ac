"""Dockerfile -> graph of build steps -> image. RUN goes through `Engine`, layers through the store."""
