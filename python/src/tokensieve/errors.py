"""Errors of the package: one line that names file and field, what was found, what was expected, what to do."""

from __future__ import annotations


class TokensieveError(Exception):
    """Bad input or bad use. `code` is stable; the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
