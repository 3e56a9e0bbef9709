"""The name of one instance, and how it gets it: storescp's rules, and those of ``--on-duplicate``.

Strategy: link(2) decides. Whoever finds the name free has it, also among workers that publish one instance at once; the
others find a file there, complete, and do with it what the operator wants. A file that belongs to another instance
(two UIDs that clean up to one name) is never a duplicate: the later instance gets a second name, made from its UID.

Invariants: only REPLACE ever takes a name from a file; an instance is taken for a duplicate only of a file that is
there, whole, when it is decided; no symbolic link below the output directory is followed.
"""

from __future__ import annotations

import datetime
import errno
import logging
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from fastscp.errors import DuplicateError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.store import naming, noreplace
from fastscp.store.directory import Place
from fastscp.store.existing import Existing, look_at, media_storage_instance_uid
from fastscp.store.policy import FileNames, OnDuplicate
from fastscp.store.sink import InstanceSink
from fastscp.worker.context import ReceptionContext

_log = logging.getLogger(APPLICATION)

_ATTEMPTS = 100  #: to find a name that others take and give up all the time
_COMPARED = 16  #: files of one instance with which another is compared


@dataclass(frozen=True)
class Published:
    """Where an instance went."""

    directory: str  #: as the operator wrote it, with the study directory when sorting
    file: str
    replaced: bool
    warning: str = ""  #: why the name is not the one that the UID leads to
    duplicate: OnDuplicate | None = None  #: what was done because the name was taken
    existing: Existing | None = None  #: what is there in its stead, with KEEP

    @property
    def written(self) -> bool:
        """Whether there is a new file."""
        rule = self.duplicate
        return rule is None or (rule is not OnDuplicate.KEEP and rule is not OnDuplicate.COMPARE)  # no set: hashing costs


_Publication = Generator[None, None, Published]


class Publication:
    """How one instance gets its name."""

    def __init__(self, settings: ReceptionContext, prefix: str, sop_instance_uid: str) -> None:
        """Raise InstanceError for a UID that no name can be made of."""
        self._store = store = settings.store
        self._directory = settings.directory
        self._prefix = prefix
        self._uid = sop_instance_uid
        self._file_format = settings.output.file_format  #: files have file meta information, which says whose they are
        self._name = ""
        self._warning = ""
        self.cleaned_uid = False  #: the file's name is not made of the UID as it is
        if store.file_names is FileNames.INSTANCE_UID:
            self._name = name = naming.instance_file_name(prefix, sop_instance_uid, store.extension)
            self.cleaned_uid = naming.may_collide(name) and naming.clean_file_name(sop_instance_uid) != sop_instance_uid
            if settings.own.include_name(name):
                self._name = self._second_name(name)
                self._warning = f"file name {name} is the service's own"

    # -- before the data set ----------------------------------------------------------------------

    def stays_out(self) -> bool:
        """Tell whether the data set need not be written, because a file of the output directory is to be kept.

        Raises DuplicateError where it is refused for that file, and StorageError.
        """
        rule = self._store.on_duplicate
        if not self._name or rule not in {OnDuplicate.KEEP, OnDuplicate.REFUSE}:
            return False
        self._directory.follow_path()
        place = self._directory.place
        name, _ = self._own_name(place)
        if not noreplace.exists(name, place.fd):
            return False
        if rule is OnDuplicate.REFUSE:
            raise DuplicateError(f"{name} is there already")
        return True

    def kept(self) -> Published:
        """Return what is there in the stead of an instance that was not written. Raises StorageError when it is gone."""
        self._directory.follow_path()
        name, warning = self._own_name(self._directory.place)
        kept = self._keep(self._store.output_directory, self._directory.place, name, warning)
        if kept is None:
            raise StorageError(f"{name}, which was to be kept, is gone", path=name)
        return kept

    # -- afterwards -------------------------------------------------------------------------------

    def comparing(self, sink: InstanceSink, directory: str | None) -> Generator[None, None, bool]:
        """Find out whether the object in ``sink`` would change anything in ``directory``."""
        if not self._name:
            return False
        sink.close_spools()  # what follows takes as many descriptors (net.listener)
        place = self._open(self._shown(directory))
        try:
            name = self._own_name(place)[0] if naming.may_collide(self._name) else self._name
            return (yield from sink.compare(name, place))
        finally:
            place.close()

    def publishing(self, sink: InstanceSink, directory: str | None, now: datetime.datetime) -> _Publication:
        """Publish, also where somebody took the study's directory away since the coordinator made it.

        ``directory`` is None for the output directory. Raises DuplicateError and StorageError.
        """
        shown = self._shown(directory)
        sink.close_spools()
        try:
            return (yield from self._publish(sink, shown, now))
        except StorageError as error:
            inside = self._inside(shown)
            if error.errno != errno.ENOENT or not inside or os.path.isabs(inside):
                raise
            self._directory.make_again(inside)
            _log.info("made subdirectory for study again: %s", directory)
        return (yield from self._publish(sink, shown, now))

    def _publish(self, sink: InstanceSink, shown: str, now: datetime.datetime) -> _Publication:
        place = self._open(shown)
        try:
            if self._store.file_names is FileNames.INSTANCE_UID:
                return (yield from self._publish_by_uid(sink, shown, place))
            return (yield from self._publish_first_free(sink, shown, place, self._names(now)))
        finally:
            place.close()

    def _names(self, now: datetime.datetime) -> Iterator[str]:
        if self._store.file_names is FileNames.TIME:
            return naming.time_file_names(self._prefix, self._store.extension, now)
        return iter([naming.unique_file_name(self._prefix, self._store.extension)])

    @staticmethod
    def _publish_first_free(sink: InstanceSink, shown: str, place: Place, names: Iterator[str]) -> _Publication:
        for name in names:
            try:
                yield from sink.publishing(name, replace=False, place=place)
            except FileExistsError:
                continue
            return Published(shown, name, replaced=False)
        raise StorageError(f"no free file name left in {shown}", path=shown)

    def _publish_by_uid(self, sink: InstanceSink, shown: str, place: Place) -> _Publication:
        """Publish under the name of the UID, or do what is wanted when that is taken."""
        name, warning = self._name, self._warning
        replaces = self._store.on_duplicate is OnDuplicate.REPLACE
        if replaces and not naming.may_collide(name):
            return (yield from self._replace(sink, shown, place, name, warning))
        for _ in range(_ATTEMPTS):
            try:
                yield from sink.publishing(name, replace=False, place=place)
            except FileExistsError:
                name, warning = self._own_name(place)
            else:
                return Published(shown, name, replaced=False, warning=warning)
            if replaces:
                return (yield from self._replace(sink, shown, place, name, warning))
            if noreplace.exists(name, place.fd):
                published = yield from self._deal(sink, shown, place, name, warning)
                if published is not None:
                    return published
        raise StorageError(f"{name} in {shown} comes and goes", path=shown)

    @staticmethod
    def _replace(sink: InstanceSink, shown: str, place: Place, name: str, warning: str) -> _Publication:
        replaced = yield from sink.publishing(name, replace=True, place=place)
        return Published(shown, name, replaced, warning, OnDuplicate.REPLACE if replaced else None)

    # -- duplicates -------------------------------------------------------------------------------

    def _deal(self, sink: InstanceSink, shown: str, place: Place, name: str, warning: str) -> Generator[None, None, Published | None]:
        """Do what is wanted with a duplicate of the file ``name``; None when that is gone meanwhile."""
        rule = self._store.on_duplicate
        if rule is OnDuplicate.REFUSE:
            raise DuplicateError(f"{name} is there already")
        if rule is OnDuplicate.KEEP:
            return self._keep(shown, place, name, warning)
        if rule is OnDuplicate.COMPARE:
            same = yield from self._find_equal(sink, place, name)
            if same:
                return Published(shown, same, replaced=False, warning=warning, duplicate=rule)
        return (yield from self._rename(sink, shown, place, name, warning))

    @staticmethod
    def _keep(shown: str, place: Place, name: str, warning: str) -> Published | None:
        existing = look_at(name, place.fd)
        if existing is None:
            return None
        if not existing.regular:
            raise StorageError(f"{name} in {shown} is no file", path=shown)
        return Published(shown, name, replaced=False, warning=warning, duplicate=OnDuplicate.KEEP, existing=existing)

    def _find_equal(self, sink: InstanceSink, place: Place, name: str) -> Generator[None, None, str]:
        """Return the name of a file of this instance that has the same octets, "" when none is found."""
        for number in range(_COMPARED):
            candidate = self._numbered(name, number) if number else name
            if (yield from sink.compare(candidate, place)):
                return candidate
            if number and not noreplace.exists(candidate, place.fd):
                break
            yield
        return ""

    def _rename(self, sink: InstanceSink, shown: str, place: Place, name: str, warning: str) -> _Publication:
        for _ in range(_ATTEMPTS):
            number = naming.free_number(lambda number: noreplace.exists(self._numbered(name, number), place.fd))
            candidate = self._numbered(name, number)
            try:
                yield from sink.publishing(candidate, replace=False, place=place)
            except FileExistsError:
                if self._store.on_duplicate is OnDuplicate.COMPARE and (yield from sink.compare(candidate, place)):
                    return Published(shown, candidate, replaced=False, warning=warning, duplicate=OnDuplicate.COMPARE)
                yield
                continue
            return Published(shown, candidate, replaced=False, warning=warning, duplicate=OnDuplicate.RENAME)
        raise StorageError(f"no free file name like {name} in {shown}", path=shown)

    # -- names ------------------------------------------------------------------------------------

    def _own_name(self, place: Place) -> tuple[str, str]:
        """Return the name of this instance where its first may be another's, and a warning when it is."""
        name = self._name
        holder = media_storage_instance_uid(name, place.fd)
        if holder is None or holder == self._uid:
            return name, self._warning
        if not holder and not self._file_format and not naming.may_collide(name):
            return name, self._warning  # files say nothing of themselves
        return self._second_name(name), f"file name {name} belongs to another SOP Instance UID than {self._uid}"

    def _second_name(self, name: str) -> str:
        return naming.distinct_file_name(name, self._uid, self._store.extension)

    def _numbered(self, name: str, number: int) -> str:
        return naming.numbered_file_name(name, self._store.extension, number)

    # -- directories ------------------------------------------------------------------------------

    def _shown(self, directory: str | None) -> str:
        return self._store.output_directory if directory is None else directory

    def _open(self, shown: str) -> Place:
        inside = self._inside(shown)
        return self._directory.open_place(inside) if inside else self._directory.place

    def _inside(self, directory: str) -> str:
        """Return a directory relative to the output directory, "" for that, where it lies inside, else absolute."""
        output_directory = self._store.output_directory
        if directory == output_directory:
            return ""
        inside = directory.removeprefix(output_directory.rstrip("/") + "/")
        return inside if inside != directory else os.path.abspath(directory)
