"""What an object would be called, as far as it can be said before it is stored."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from fastscp.errors import InstanceError
from fastscp.ingest.preparing import Prepared
from fastscp.store import naming
from fastscp.store.policy import FileNames, StorePolicy
from fastscp.study import naming as studies
from fastscp.study.policy import Sorting, StudyPolicy
from fastscp.worker.reception import STUDY_INSTANCE_UID, Reception

_NEVER = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)  #: no part of a name by Study Instance UID


def name_of(store: StorePolicy, study: StudyPolicy) -> Callable[[Prepared], str]:
    """Return what tells the path of an object; a part that is made up when it is stored is in angle brackets."""

    def path(prepared: Prepared) -> str:
        reception = prepared.reception
        if reception is None:
            return ""
        directories = [store.output_directory]
        if study.sorting is not Sorting.NONE:
            directories.append(_directory(study, reception))
        return "/".join([*directories, _file(store, reception)])

    return path


def _directory(study: StudyPolicy, reception: Reception) -> str:
    uid = reception.uid(STUDY_INSTANCE_UID)
    if study.sorting is not Sorting.STUDY_UID:
        return f"<directory of study {uid}>"
    beneath = study.prefix[: study.prefix.rfind("/") + 1]
    return beneath + studies.directory_name(study, uid, "", _NEVER)


def _file(store: StorePolicy, reception: Reception) -> str:
    if store.file_names is FileNames.UNIQUE:
        return f"{reception.prefix}.X.<UID>{store.extension}"
    if store.file_names is FileNames.TIME:
        return f"<time>.{reception.prefix}{store.extension}"
    try:
        return naming.instance_file_name(reception.prefix, reception.command.affected_sop_instance_uid, store.extension)
    except InstanceError:
        return ""
