r"""Association negotiation profiles (``-xf``): DCMTK's association configuration files.

    [[TransferSyntaxes]]         TransferSyntaxN     = UID
    [[PresentationContexts]]     PresentationContextN = UID\section of TransferSyntaxes
    [[SCPSCURoleSelection]]      RoleN               = UID\SCU | SCP | BOTH
    [[ExtendedNegotiation]]      ExtendedNegotiationN = UID\hexadecimal octets
    [[Profiles]]                 PresentationContexts, SCPSCURoleSelection, ExtendedNegotiation = section

The whole file is checked, not only the profile that is used, as storescp does. N counts from 1; the first
number that is missing ends a list (what comes after it is warned of). A UID is numeric or one of DCMTK's
symbolic names, whose case counts.

Source: asconfig.txt of the dcmtk package; details from storescp 3.6.7.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from fastscp.config.profile_file import ConfigurationFile, Entry, Section, mangle, parse
from fastscp.config.uid_names import other_uids
from fastscp.dicom.uids import SOP_CLASS_UIDS, TRANSFER_SYNTAX_UIDS
from fastscp.errors import UsageError
from fastscp.log.names import APPLICATION
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

_log = logging.getLogger(APPLICATION)

_TRANSFER_SYNTAXES = "TransferSyntaxes"
_PRESENTATION_CONTEXTS = "PresentationContexts"
_ROLES = "SCPSCURoleSelection"
_EXTENDED = "ExtendedNegotiation"
_PROFILES = "Profiles"

_UID = re.compile(r"[0-9.]+")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_MOST_EXTENDED_OCTETS = 1023  #: as many as storescp takes

#: (SCU role, SCP role) that the requestor is granted
_ROLE_KEYS = {"SCU": (True, False), "SCP": (False, True), "BOTH": (True, True)}


@dataclass(frozen=True)
class Profile:
    """One section of [[Profiles]]: names of sections elsewhere."""

    line: int
    contexts: str
    roles: str | None
    extended: str | None


@dataclass
class Lists:
    """The content of a file, by section name."""

    transfer_syntaxes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: (line, abstract syntax UID, section of transfer syntaxes)
    contexts: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    roles: dict[str, dict[str, tuple[bool, bool]]] = field(default_factory=dict)
    extended: dict[str, dict[str, bytes]] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)


def load_profile(path: str, profile_name: str, base: NegotiationPolicy | None = None) -> NegotiationPolicy:
    """Return ``base`` with the rules of one profile of the file.

    Raises UsageError, with file and line, when the file cannot be read, does not follow the rules, or has
    no such profile.
    """
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise UsageError(f"cannot read config file: {path}: {error.strerror}") from error
    try:
        file = parse(path, text)
        lists = _Reader(file).read()
    except UsageError as error:
        raise UsageError(f"cannot read config file: {error}") from error
    for line, what in file.homeless:
        _log.warning("%s:%d: %s is in no supersection and not used", path, line, what)
    profile = lists.profiles.get(_reference(profile_name))
    if profile is None:
        raise UsageError(f"unknown configuration profile name: {profile_name}")
    rules = _rules(file, lists, profile, profile_name)
    return replace(base or NegotiationPolicy(), rules=MappingProxyType(rules), unknown_rule=None)


def _rules(file: ConfigurationFile, lists: Lists, profile: Profile, name: str) -> dict[str, AbstractSyntaxRule]:
    roles = lists.roles[profile.roles] if profile.roles is not None else {}
    extended = lists.extended[profile.extended] if profile.extended is not None else {}
    rules: dict[str, AbstractSyntaxRule] = {}
    for line, uid, group in lists.contexts[profile.contexts]:
        if uid in rules:
            raise file.error(line, f"profile '{name}' is not valid for SCP use, abstract syntax {uid} is there twice")
        scu_role, scp_role = roles.get(uid, (None, None))
        rules[uid] = AbstractSyntaxRule(lists.transfer_syntaxes[group], scu_role, scp_role, extended.get(uid))
    return rules


class _Reader:
    """Turns headings and entries of one file into lists, checking every one."""

    def __init__(self, file: ConfigurationFile) -> None:
        self._file = file
        self._lists = Lists()
        self._uids = other_uids() | SOP_CLASS_UIDS | TRANSFER_SYNTAX_UIDS

    def read(self) -> Lists:
        """Read the supersections in the order in which they refer to one another."""
        self._read_transfer_syntaxes()
        self._read_contexts()
        self._read_roles()
        self._read_extended()
        self._read_profiles()
        return self._lists

    def _sections(self, name: str, *, required: bool = False) -> list[Section]:
        found = self._file.find(mangle(name))
        if found is not None:
            return found.sections
        if required:
            raise UsageError(f"{self._file.path}: cannot find section [[{name}]]")
        return []

    def _numbered(self, section: Section, prefix: str) -> Iterator[Entry]:
        """Yield the entries ``prefix1``, ``prefix2`` ... up to the first that is missing."""
        prefix = mangle(prefix)
        number = 1
        while (entry := section.find(f"{prefix}{number}")) is not None:
            yield entry
            number += 1
        for entry in section.entries:
            suffix = entry.key.removeprefix(prefix)
            if suffix != entry.key and suffix.isdecimal() and (suffix[0] == "0" or int(suffix) > number):
                _log.warning("%s:%d: %s is not used, %s%d is missing", self._file.path, entry.line, entry.key, prefix, number)

    def _split(self, entry: Entry) -> tuple[str, str]:
        r"""Split ``UID\something``; return the UID and the rest."""
        name, separator, rest = entry.value.partition("\\")
        if not separator:
            raise self._file.error(entry.line, f"missing '\\' in {entry.key} = {entry.value}")
        return self._uid(entry, name, "abstract syntax"), rest

    def _uid(self, entry: Entry, name: str, what: str) -> str:
        uid = name if name[:1].isdecimal() else self._uids.get(name.removeprefix("="), name)
        if _UID.fullmatch(uid):
            return uid
        hint = ""
        if "\n" in name:
            hint = " (a line that begins with a blank continues the one above)"
        raise self._file.error(entry.line, f"not a valid {what} UID: {name!r}{hint}")

    def _read_transfer_syntaxes(self) -> None:
        for section in self._sections(_TRANSFER_SYNTAXES, required=True):
            uids = tuple(self._uid(entry, entry.value, "transfer syntax") for entry in self._numbered(section, "TransferSyntax"))
            if uids:
                known = self._lists.transfer_syntaxes
                known[section.name] = known.get(section.name, ()) + uids

    def _read_contexts(self) -> None:
        for section in self._sections(_PRESENTATION_CONTEXTS, required=True):
            for entry in self._numbered(section, "PresentationContext"):
                uid, group = self._split(entry)
                group = _reference(group)
                if group not in self._lists.transfer_syntaxes:
                    raise self._file.error(entry.line, f"transfer syntax key undefined: {group}")
                self._lists.contexts.setdefault(section.name, []).append((entry.line, uid, group))

    def _read_roles(self) -> None:
        for section in self._sections(_ROLES):
            for entry in self._numbered(section, "Role"):
                uid, key = self._split(entry)
                role = _ROLE_KEYS.get(key.upper())
                if role is None:
                    raise self._file.error(entry.line, f"unknown role (SCU, SCP or BOTH): {key!r}")
                roles = self._lists.roles.setdefault(section.name, {})
                if uid in roles:
                    raise self._file.error(entry.line, f"role selection defined twice for abstract syntax {uid}")
                roles[uid] = role

    def _read_extended(self) -> None:
        for section in self._sections(_EXTENDED):
            for entry in self._numbered(section, "ExtendedNegotiation"):
                uid, digits = self._split(entry)
                if not _HEXADECIMAL.fullmatch(digits):
                    raise self._file.error(entry.line, f"extended negotiation data are not pairs of hexadecimal digits: {digits!r}")
                if len(digits) // 2 > _MOST_EXTENDED_OCTETS:
                    raise self._file.error(entry.line, f"extended negotiation data longer than {_MOST_EXTENDED_OCTETS} octets")
                extended = self._lists.extended.setdefault(section.name, {})
                if uid in extended:
                    raise self._file.error(entry.line, f"extended negotiation defined twice for abstract syntax {uid}")
                extended[uid] = bytes.fromhex(digits)

    def _read_profiles(self) -> None:
        for section in self._sections(_PROFILES, required=True):
            contexts = section.find(mangle(_PRESENTATION_CONTEXTS))
            if contexts is None:
                raise self._file.error(section.line, f"no {_PRESENTATION_CONTEXTS} entry in profile {section.name}")
            roles = section.find(mangle(_ROLES))
            extended = section.find(mangle(_EXTENDED))
            if _reference(contexts.value) not in self._lists.contexts:
                raise self._file.error(contexts.line, f"presentation context key undefined: {contexts.value}")
            profile = Profile(
                section.line, _reference(contexts.value),
                self._checked(roles, "role selection", self._lists.roles, contexts),
                self._checked(extended, "extended negotiation", self._lists.extended, contexts))
            if section.name in self._lists.profiles:
                raise self._file.error(section.line, f"profile {section.name} is defined twice")
            self._lists.profiles[section.name] = profile

    def _checked(self, entry: Entry | None, what: str, lists: dict[str, dict[str, tuple[bool, bool]]] | dict[str, dict[str, bytes]],
                 contexts: Entry) -> str | None:
        """Return the section that ``entry`` refers to; every UID in it must be among the contexts."""
        if entry is None:
            return None
        name = _reference(entry.value)
        if name not in lists:
            raise self._file.error(entry.line, f"{what} key undefined: {entry.value}")
        proposed = {uid for _, uid, _ in self._lists.contexts[_reference(contexts.value)]}
        for uid in lists[name]:
            if uid not in proposed:
                raise self._file.error(entry.line, f"abstract syntax {uid} is in the {what} list '{entry.value}', "
                                                   f"but not in the presentation context list '{contexts.value}'")
        return name


def _reference(name: str) -> str:
    """Return the form in which references are compared: capital letters without blanks."""
    return "".join(name.split()).upper()
