"""Build checks: what works but is likely a mistake, each with a rule name that can be switched off."""

from composer.build.lint.check import LintResult, check, check_dockerfile
from composer.build.lint.rules import LintWarning

__all__ = ["LintResult", "LintWarning", "check", "check_dockerfile"]
