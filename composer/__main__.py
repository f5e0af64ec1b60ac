"""`python -m composer`: the same program as the console script."""

from composer.cli.main import program

program()
