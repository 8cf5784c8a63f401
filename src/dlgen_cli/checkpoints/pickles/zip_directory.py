"""The directory of a zip archive: which range of the file each stored entry takes.

Nothing is ever decompressed, so no archive can unfold to more than its own size.
"""

from __future__ import annotations

import io
import struct
import zipfile

from dlgen_cli.checkpoints.stored import SourceFile, brief

_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_DIRECTORY = 25_000_000  # bytes
_FOLDER = 0x10  # of the attributes


class ZipDirectory:
    """The entries of an archive that is a file, or a range of one.

    Args:
        file: holds the archive.
        start: offset of the archive in the file.
        size: bytes of the archive; None for all from ``start`` on.

    Attributes:
        entries: what the directory says of each entry, by name.

    Raises:
        ValueError: it is no whole zip archive, or an entry is there twice.
    """

    def __init__(self, file: SourceFile, start: int = 0, size: int | None = None) -> None:
        self._range = _FileRange(file, start, file.size - start if size is None else size)
        self.entries: dict[str, zipfile.ZipInfo] = {}
        try:
            found = zipfile.ZipFile(self._range).infolist()
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"the directory at its end is missing or damaged: {error}") from error
        for entry in found:
            if entry.filename in self.entries:
                raise ValueError(f"the entry {brief(entry.filename)} is there twice")
            self.entries[entry.filename] = entry

    def read(self, name: str, most: int) -> bytes:
        """The contents of an entry of at most ``most`` bytes.

        Raises:
            ValueError: it is compressed, too large, or not all there.
        """
        offset, size = self.locate(name)
        if size > most:
            raise ValueError(f"{brief(name)} has {size:,} bytes; at most {most:,} are read")
        return self._range.file.read(offset, size)

    def locate(self, name: str) -> tuple[int, int]:
        """Where the contents of an entry lie: offset in the file and size, in bytes.

        Raises:
            ValueError: there is no such entry, it is compressed, or it is not all there.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ValueError(f"there is no entry {brief(name)}")
        is_packed = entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1
        is_folder = entry.external_attr & _FOLDER
        if is_packed or is_folder or entry.compress_size != entry.file_size:
            raise ValueError(f"the entry {brief(name)} is compressed, encrypted or a folder")
        at, size = entry.header_offset, entry.file_size
        if not 0 <= at <= self._range.size - _LOCAL.size:
            raise ValueError(f"the entry {brief(name)} is not all there")
        self._range.seek(at)
        magic, *_, name_size, extra_size = _LOCAL.unpack(self._range.read(_LOCAL.size))
        begin = at + _LOCAL.size + name_size + extra_size
        if magic != b"PK\x03\x04" or begin + size > self._range.size:
            raise ValueError(f"the entry {brief(name)} is not all there")
        return self._range.start + begin, size


class _FileRange(io.RawIOBase):
    """A range of a file that is read like a file, a little at a time."""

    def __init__(self, file: SourceFile, start: int, size: int) -> None:
        self.file, self.start, self.size = file, start, size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if at < 0:
            raise OSError(f"byte {at:,} of a file")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self._at)
        count = left if count < 0 else min(count, left)
        if count > _MOST_DIRECTORY:
            raise ValueError(f"{count:,} bytes at once; at most {_MOST_DIRECTORY:,} are read")
        found = self.file.read(self.start + self._at, count)
        self._at += len(found)
        return found


def archive_of(file: SourceFile) -> ZipDirectory | None:
    """The directory of a zip file; None for a legacy file.

    Raises:
        ValueError: it starts like a zip archive and is no whole one.
    """
    return ZipDirectory(file) if file.read(0, 4) == b"PK\x03\x04" else None
