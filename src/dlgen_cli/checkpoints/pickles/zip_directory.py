"""The directory of a zip archive: which range of the file each stored entry takes.

Nothing is ever decompressed, so no archive can unfold to more than its own size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dlgen_cli.checkpoints.stored import SourceFile, brief

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_COMMENT = 65_535
_MOST_DIRECTORY = 25_000_000  # bytes
_FOLDER = 0x10  # of the attributes
_NONE32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry as the directory describes it.

    Attributes:
        name: as the archive has it.
        header: offset of its local header, in bytes from the start of the archive.
        size: of its contents, in bytes.
        is_plain: stored as it is: not compressed, encrypted or marked as a folder.
    """

    name: str
    header: int
    size: int
    is_plain: bool


class ZipDirectory:
    """The entries of an archive that is a file, or a range of one.

    Args:
        file: holds the archive.
        start: offset of the archive in the file.
        size: bytes of the archive; None for all from ``start`` on.

    Raises:
        ValueError: it is no whole zip archive, or an entry is there twice.
    """

    def __init__(self, file: SourceFile, start: int = 0, size: int | None = None) -> None:
        self._file = file
        self._start = start
        self._size = file.size - start if size is None else size
        self.entries: dict[str, ZipEntry] = {}
        for entry in self._read_directory():
            if entry.name in self.entries:
                raise ValueError(f"the entry {brief(entry.name)} is there twice")
            self.entries[entry.name] = entry

    def read(self, name: str, most: int) -> bytes:
        """The contents of an entry of at most ``most`` bytes.

        Raises:
            ValueError: it is compressed, too large, or not all there.
        """
        offset, size = self.locate(name)
        if size > most:
            raise ValueError(f"{brief(name)} has {size:,} bytes; at most {most:,} are read")
        return self._file.read(offset, size)

    def locate(self, name: str) -> tuple[int, int]:
        """Where the contents of an entry lie: offset in the file and size, in bytes.

        Raises:
            ValueError: there is no such entry, it is compressed, or it is not all there.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ValueError(f"there is no entry {brief(name)}")
        if not entry.is_plain:
            raise ValueError(f"the entry {brief(name)} is compressed, encrypted or a folder")
        header = self._bytes(entry.header, _LOCAL.size)
        magic, *_, name_size, extra_size = _LOCAL.unpack(header)
        begin = entry.header + _LOCAL.size + name_size + extra_size
        if magic != b"PK\x03\x04" or begin + entry.size > self._size:
            raise ValueError(f"the entry {brief(name)} is not all there")
        return self._start + begin, entry.size

    def _bytes(self, offset: int, count: int) -> bytes:
        found = b""
        if 0 <= offset <= self._size - count:
            found = self._file.read(self._start + offset, count)
        if len(found) != count:
            raise ValueError(f"{count:,} bytes at {offset:,} of {self._size:,}")
        return found

    def _read_directory(self) -> Iterator[ZipEntry]:
        size, offset = self._find_directory()
        if size > _MOST_DIRECTORY:
            raise ValueError(f"a directory of {size:,} bytes; at most {_MOST_DIRECTORY:,} are read")
        directory = self._bytes(offset, size)
        at = 0
        while at < size:
            entry, at = _read_entry(directory, at)
            yield entry

    def _find_directory(self) -> tuple[int, int]:
        tail_size = min(self._size, _END.size + _MOST_COMMENT)
        tail = self._bytes(self._size - tail_size, tail_size)
        at = tail.rfind(b"PK\x05\x06", 0, tail_size - _END.size + 4)
        if at < 0:
            raise ValueError("the directory at its end is missing")
        *_, size, offset, _comment = _END.unpack_from(tail, at)
        locator = at - _END64_LOCATOR.size
        if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            _, _, offset64, _ = _END64_LOCATOR.unpack_from(tail, locator)
            *_, size, offset = _END64.unpack(self._bytes(offset64, _END64.size))
        return size, offset


def _read_entry(directory: bytes, at: int) -> tuple[ZipEntry, int]:
    if len(directory) - at < _CENTRAL.size:
        raise ValueError("the directory ends inside an entry")
    fields = _CENTRAL.unpack_from(directory, at)
    magic, flags, method = fields[0], fields[3], fields[4]
    packed, size, name_size, extra_size, comment_size = fields[8:13]
    header = fields[16]
    names = at + _CENTRAL.size
    end = names + name_size + extra_size + comment_size
    if magic != b"PK\x01\x02" or end > len(directory):
        raise ValueError("the directory is damaged")
    name = directory[names : names + name_size].decode("utf-8", "backslashreplace")
    extra = directory[names + name_size : names + name_size + extra_size]
    size, packed, header = _widened(extra, size, packed, header)
    is_folder = bool(fields[15] & _FOLDER)
    is_plain = method == 0 and not flags & 1 and packed == size and not is_folder
    return ZipEntry(name=name, header=header, size=size, is_plain=is_plain), end


def _widened(extra: bytes, *fields: int) -> list[int]:
    """Size, packed size and offset, taken from the 64-bit field where 32 bits do not hold them."""
    wide = list(fields)
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            values = iter(range(at + 4, min(at + 4 + length, len(extra)) - 7, 8))
            for index, value in enumerate(wide):
                if value == _NONE32:
                    place = next(values, None)
                    if place is None:
                        raise ValueError("the directory lacks a 64-bit size")
                    (wide[index],) = struct.unpack_from("<Q", extra, place)
        at += 4 + length
    return wide
