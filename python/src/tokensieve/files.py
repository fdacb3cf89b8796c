"""Where files lie: a local folder, or an fsspec URL (`s3://…`, `hf://…`, `memory://…`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

import pyarrow as pa

from .errors import TokensieveError


class Files(Protocol):
    """What is needed of a store: list, size, read."""

    def list(self, folder: str) -> list[str]:
        """Paths of all files below `folder`, sorted."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def open(self, path: str) -> IO[bytes]:
        """For reading from the start."""

    def arrow(self, path: str, *, whole: bool = False) -> Any:
        """As a pyarrow input with random access. `whole`: all of it will be read, from its start to its end."""


@dataclass(frozen=True)
class LocalFiles:
    """
    Memory-mapped: an uncompressed file's columns are views of it and cost no memory of their own.

    Links to files are followed, as caches of the Hub need; what is no file in the end (a pipe, a device) is not opened.
    """

    def list(self, folder: str) -> list[str]:
        """Links to folders are not followed, so that a folder cannot lead out of itself or round in a circle."""
        if not os.path.isdir(folder):
            raise TokensieveError("no-folder", f"{folder}: is no folder; name one that tokensieve wrote")
        found = (os.path.join(base, name) for base, _, names in os.walk(folder) for name in names)
        return sorted(path.replace(os.sep, "/") for path in found)

    def size(self, path: str) -> int:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            # A pipe would be waited for, a device read without an end.
            raise TokensieveError("no-file", f"{path}: is no file; name a folder that tokensieve wrote")
        return found.st_size

    def open(self, path: str) -> IO[bytes]:
        self.size(path)
        return open(path, "rb")

    def arrow(self, path: str, *, whole: bool = False) -> Any:
        self.size(path)
        return pa.memory_map(path)


@dataclass(frozen=True)
class FsspecFiles:
    """Any file system of fsspec; reads ranges, keeps nothing."""

    fs: Any

    def list(self, folder: str) -> list[str]:
        return sorted(self.fs.find(folder))

    def size(self, path: str) -> int:
        return int(self.fs.size(path))

    def open(self, path: str) -> IO[bytes]:
        file: IO[bytes] = self.fs.open(path, "rb")
        return file

    def arrow(self, path: str, *, whole: bool = False) -> Any:
        # One request for what is read from end to end, and not a second one for its digest.
        if whole:
            return pa.BufferReader(self.fs.cat_file(path))
        return pa.PythonFile(self.fs.open(path, "rb"), mode="r")


def files_of(path: str | os.PathLike[str], storage_options: dict[str, Any] | None = None) -> tuple[Files, str]:
    """The store of a path or URL, and the path within it without a slash at its end."""
    text = os.fspath(path)
    if "://" not in text:
        # Absolute, so that a process that changes its folder goes on reading.
        return LocalFiles(), os.path.abspath(text).replace(os.sep, "/").rstrip("/") or "/"
    try:
        import fsspec
    except ImportError as error:
        raise TokensieveError(
            "no-fsspec", f"{text}: a URL is read through fsspec; pip install fsspec and the driver of its scheme"
        ) from error
    fs, inner = fsspec.core.url_to_fs(text, **(storage_options or {}))
    return FsspecFiles(fs), str(inner).rstrip("/")


def read_in_pieces(files: Files, path: str, piece: int = 1 << 22) -> Iterator[bytes]:
    """The file's bytes, `piece` at a time."""
    with files.open(path) as file:
        while data := file.read(piece):
            yield data
