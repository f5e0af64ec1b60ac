"""The command line: one module per command, renderers fed by events; the only room that prints and exits."""
