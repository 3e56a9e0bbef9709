"""Names of study directories and of values in hooks, as storescp makes them. Pure.

Source: storescp's manual, ``--sort-conc-studies``, ``--sort-on-study-uid``, ``--sort-on-patientname``; the
spelling of Latin-1 letters was read off the tool, octet by octet.
"""

from __future__ import annotations

import datetime
import posixpath
import re
import string

from fastscp.study.policy import Sorting, StudyPolicy

#: characters of peers that stay in names and hook values; every other becomes ``_``
_SAFE = frozenset(string.ascii_letters + string.digits + " -.:@_")
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)

#: 0xC0..0xFF of ISO 8859-1 in names of patients
_LATIN_1 = """
A A A A Ae A A C E E E E I I I I D N O O O O Oe _ O U U U Ue Y _ ss
a a a a ae a a c e e e e i i i i d n o o o o oe _ o u u u ue y _ y
"""
_PATIENT = {code: chr(code) if chr(code) in _ALPHANUMERIC else "_" for code in range(0xC0)} | {
    0xC0 + index: spelling for index, spelling in enumerate(_LATIN_1.split())
}
ANONYMOUS = "ANONYMOUS"
_NUMBERED = re.compile(r"\.r[0-9]+\Z")


def clean(text: str) -> str:
    """Return ``text`` with every character but letters, digits, blank and ``-.:@_`` turned into ``_``."""
    if _SAFE.issuperset(text):
        return text
    return "".join(character if character in _SAFE else "_" for character in text)


def is_clean(text: str) -> bool:
    """Whether ``clean`` would leave ``text`` as it is."""
    return _SAFE.issuperset(text)


def spell_patient(name: str) -> str:
    """Return Patient's Name (octets as Latin-1) as a directory name: only ASCII letters, digits and ``_``.

    Only the first value counts, without trailing padding; "" when that is empty.
    """
    return first_value(name).translate(_PATIENT)


def spell_character(character: str) -> str:
    """Return one character of Latin-1 as storescp spells it."""
    return _PATIENT[ord(character)]


def study_uid(value: str) -> str:
    """Return a Study Instance UID as storescp compares it: its first value, without any white space."""
    return "".join(value.partition("\\")[0].partition("\0")[0].split())


def study_key(sender: str, uid: str) -> str:
    """Return what a study is kept under: one that arrives through two sections is two. No UID has white space."""
    return f"{sender} {uid}" if sender else uid


def of_study_key(key: str) -> tuple[str, str]:
    """Return the section and the UID of what ``study_key`` made."""
    sender, _, uid = key.rpartition(" ")
    return sender, uid


def first_value(text: str) -> str:
    """Return the first of values separated by backslashes, without trailing padding."""
    return text.partition("\\")[0].rstrip(" \0")


def timestamp(when: datetime.datetime) -> str:
    """Return ``YYYYMMDD_HHMMSSmmm``."""
    return when.strftime("%Y%m%d_%H%M%S") + f"{when.microsecond // 1000:03d}"


def parent_directory(policy: StudyPolicy, output_directory: str) -> str:
    """Return the directory in which those of studies are made: a prefix may lead somewhere below (``-su a/b``)."""
    beneath = "" if policy.sorting is Sorting.PATIENT_NAME else policy.prefix[: policy.prefix.rfind("/") + 1]
    return posixpath.join(output_directory, beneath).rstrip("/") if beneath else output_directory


def numbered(name: str, number: int) -> str:
    """Return ``name`` with a number; ``unnumbered`` takes it away."""
    return f"{name}.r{number}"


def unnumbered(name: str) -> str:
    """Return ``name`` without the number that ``numbered`` gave it."""
    return _NUMBERED.sub("", name)


def directory_name(policy: StudyPolicy, study_uid: str, patient: str, when: datetime.datetime) -> str:
    """Return the name of the directory of a study that opens at local time ``when``.

    ``patient`` is what ``spell_patient`` returned, or a transliteration. The result is one path component, or
    the caller refuses it: see ``is_refused``.
    """
    if policy.sorting is Sorting.STUDY_UID:
        parts = [policy.prefix, clean(study_uid)]
    elif policy.sorting is Sorting.PATIENT_NAME:
        parts = [patient or ANONYMOUS, timestamp(when)]
    else:
        parts = [policy.prefix, timestamp(when)]
    return "_".join(part for part in parts if part).rpartition("/")[2]


def is_refused(name: str) -> bool:
    """Whether ``name`` cannot be a study directory: storescp answers such an object with C000."""
    return name in {"", ".", ".."} or "/" in name or "\0" in name


def last_component(prefix: str) -> str:
    """Return what of a prefix the names of study directories begin with."""
    return prefix.rpartition("/")[2]


def is_new_each_time(sorting: Sorting) -> bool:
    """Whether a study that comes back gets a directory of its own again."""
    return sorting in {Sorting.CONCURRENT_STUDIES, Sorting.PATIENT_NAME}
