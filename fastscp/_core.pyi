from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

#: context id, SOP class, SOP instance, file name, its octets, whether one was there, study, series, modality
Told: TypeAlias = tuple[int, bytes, bytes, bytes, int, bool, bytes, bytes, bytes]

class Header:
    size: int
    out_size: int
    value_octets: int
    complete: bool
    def __init__(self, octets: bytes, mask: bytes, probe: int, texts: Sequence[int], uids: Sequence[tuple[int, int]],
                 blanks: bytes, script: Sequence[tuple[int, int] | tuple[int, int, int] | bytes], value_octets: int,
                 sop_class: tuple[int, int], sop_instance: tuple[int, int], told: Sequence[tuple[int, int]],
                 complete: bool) -> None: ...
    def matches(self, buf: bytes) -> bool: ...
    def render(self, buf: bytes) -> bytes: ...

class Depot:
    def __init__(self, directory: Any, path: bytes, extension: bytes, *, files: bool, preserving: bool, shapes: Any,
                 most_octets: int) -> None: ...

class Lane:
    stored: int
    written: int
    replaced: list[bytes]
    told: list[Told]
    directory: str
    def __init__(self, depot: Depot, contexts: dict[int, tuple[str, str]],
                 describe: Callable[[int, bytes], tuple[bytes, bytes, bytes]], *, max_length: int,
                 peer_max_length: int, tells: bool = False, sorts: bool = False) -> None: ...
    def enter(self, study: bytes, path: bytes, fd: int, dev: int, ino: int) -> None: ...
    def missing(self, octets: memoryview) -> int: ...
    def leave(self) -> None: ...
    def take(self, octets: memoryview, answers: bytearray, most: int) -> int: ...

#: descriptor, file name, SOP class, SOP instance, octets, inode number; of the source octets, time of its last change in ns,
#: device, inode number; study, series, modality; its transfer syntax
Laid: TypeAlias = tuple[int, bytes, bytes, bytes, int, int, int, int, int, int, bytes, bytes, bytes, bytes]

class Files:
    def __init__(self, depot: Depot, syntax_of: Callable[[str], tuple[tuple[str, str], bool] | None],
                 describe: Callable[[str, str], tuple[bytes, bytes, bytes] | None],
                 copy: Callable[[int, int, int, int, int], None]) -> None: ...
    def prepare(self, path: bytes, linked: bool) -> Laid | None: ...
    def publish(self, fd: int, name: bytes) -> bool | None: ...
    def publish_in(self, fd: int, name: bytes, target: int, path: bytes, dev: int, ino: int) -> bool: ...

class Walk:
    def __init__(self, *, explicit: bool, little: bool, out_explicit: bool, out_little: bool, delimits: bool, creates: bool,
                 keeps_long: bool, most_levels: int, padding: int, wanted: frozenset[int], kinds: dict[int, int], sequences: set[int],
                 kinds_of_vrs: bytes, widths: bytes, blanks: bytes, reserve: Callable[[Any, int, bytes], None]) -> None: ...
    def over(self, level: Any, attributes: dict[int, bytes], levels: int, buf: bytes, origin: int, shift: int,
             pos: int) -> tuple[int, bytes | None, list[tuple[int, int]], list[tuple[int, int, int, int, int, int, int, int]]]: ...
