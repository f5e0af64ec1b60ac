"""The Dockerfile language: lines, words, instructions. Pure: text in, values out."""
