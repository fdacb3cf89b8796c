"""Errors of the package: one line that names file and field, what was found, what was expected, what to do."""

from __future__ import annotations


class TokensieveError(Exception):
    """Bad input or bad use. `code` is stable; the message is for people."""

    def __init__(self, code: str, message: str | None = None) -> None:
        """`message` alone, as torch's loaders give what a worker raised: its code is `in-worker`."""
        super().__init__(code if message is None else message)
        self.code = "in-worker" if message is None else code

    def __reduce__(self) -> tuple[type[TokensieveError], tuple[str, str]]:
        return type(self), (self.code, str(self))
