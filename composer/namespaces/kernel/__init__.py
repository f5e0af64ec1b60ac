"""Thin wrappers around system calls: constants, one function per call, one error. Nothing here decides."""
