"""The TLS security profiles of PS3.15 Annex B: versions, ciphersuites and least key sizes.

A profile is never made weaker to fit the OpenSSL library in use: one whose required ciphersuites are not
there is refused, optional ones that are missing are warned of.

Source: PS3.15 Annex B (current and retired profiles), RFC 9325, RFC 8996; choices beyond them follow
DCMTK 3.6.7 to 3.7.0
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from fastscp.errors import UsageError
from fastscp.log.names import APPLICATION
from fastscp.tls.ciphers import TLS13_SUITES, Suite, available_suites, by_strength, find_suite

_log = logging.getLogger(APPLICATION)

_TLS12 = ssl.TLSVersion.TLSv1_2

_AES_GCM_ECDHE_RSA = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
_AES_GCM_ECDHE_ECDSA = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
_AES_GCM_DHE = ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384")
_AES_128_CBC = "TLS_RSA_WITH_AES_128_CBC_SHA"
_TRIPLE_DES = "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
_MODIFIED = (
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
_CAMELLIA_GCM = (
    "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256",
)
_TLS13_CCM = ("TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")


@dataclass(frozen=True)
class SecurityProfile:
    """One security profile.

    ``minimum`` and ``maximum`` are protocol versions; ``required`` and ``optional`` ciphersuites up to
    TLS 1.2. ``security_level`` is OpenSSL's: 0 takes any certificate that verifies, 1 refuses SHA-1
    signatures, 2 also RSA below 2048 and curves below 224 bits, in the peer's certificates.
    """

    title: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    minimum: ssl.TLSVersion = _TLS12
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    security_level: int = 0
    extensible: bool = True  #: ``--cipher`` may add suites
    least_rsa_bits: int = 0  #: of our own certificate
    least_ec_bits: int = 0
    least_dh_bits: int = 0
    takes_dsa: bool = True
    retired: bool = False

    @property
    def tls13(self) -> bool:
        """Whether TLS 1.3 is negotiated."""
        return self.maximum != _TLS12


#: by the name in ``TLSPolicy.profile``, in the order of ``--help``
PROFILES = {
    "8996": SecurityProfile(
        "BCP 195 RFC 8996 TLS Profile", (*_AES_GCM_ECDHE_RSA, *_AES_GCM_ECDHE_ECDSA),
        security_level=1, least_rsa_bits=2048, takes_dsa=False),
    "8996-mod": SecurityProfile(
        "Modified BCP 195 RFC 8996 TLS Profile", (*_AES_GCM_ECDHE_RSA, *_AES_GCM_ECDHE_ECDSA),
        (*_MODIFIED, *_CAMELLIA_GCM, *_TLS13_CCM),
        security_level=2, extensible=False, least_rsa_bits=2048, least_ec_bits=256, takes_dsa=False),
    "bcp195-nd": SecurityProfile(
        "Non-downgrading BCP 195 TLS Profile", (*_AES_GCM_ECDHE_RSA, *_AES_GCM_DHE), retired=True),
    "bcp195": SecurityProfile(
        "BCP 195 TLS Profile", (*_AES_GCM_ECDHE_RSA, *_AES_GCM_DHE, _AES_128_CBC), (_TRIPLE_DES,),
        minimum=ssl.TLSVersion.MINIMUM_SUPPORTED, retired=True),
    "bcp195-ex": SecurityProfile(
        "Extended BCP 195 TLS Profile", (*_AES_GCM_ECDHE_RSA, *_AES_GCM_DHE, *_AES_GCM_ECDHE_ECDSA),
        maximum=_TLS12, extensible=False, least_dh_bits=2048, retired=True),
    "basic": SecurityProfile(
        "Basic TLS Secure Transport Connection Profile", (_TRIPLE_DES,),
        minimum=ssl.TLSVersion.MINIMUM_SUPPORTED, maximum=_TLS12, retired=True),
    "aes": SecurityProfile(
        "AES TLS Secure Transport Connection Profile", (_AES_128_CBC,), (_TRIPLE_DES,),
        minimum=ssl.TLSVersion.MINIMUM_SUPPORTED, maximum=_TLS12, retired=True),
    "null": SecurityProfile(
        "Authenticated unencrypted communication", ("TLS_RSA_WITH_NULL_SHA",),
        minimum=ssl.TLSVersion.MINIMUM_SUPPORTED, maximum=_TLS12, retired=True),
}


def find_profile(name: str) -> SecurityProfile:
    """Return the profile. Raises UsageError for an unknown name."""
    profile = PROFILES.get(name)
    if profile is None:
        raise UsageError(f"unknown TLS security profile: {name}")
    return profile


def select_suites(profile: SecurityProfile, additional: Sequence[str]) -> list[Suite]:
    """Return the suites to negotiate up to TLS 1.2, the strongest first.

    Raises UsageError when this OpenSSL cannot do what the profile requires, or when the profile does not
    take a suite of ``additional``.
    """
    available = set(available_suites())
    missing = [name for name in profile.required if find_suite(name) not in available]
    if missing:
        raise UsageError(f"security profile '{profile.title}' is not possible: "
                         f"{ssl.OPENSSL_VERSION} has no ciphersuite {', '.join(missing)}")
    lacking = [name for name in profile.optional if find_suite(name) not in available]
    if lacking:
        _log.info("security profile '%s' without %s: not in %s or not selectable",
                  profile.title, ", ".join(lacking), ssl.OPENSSL_VERSION)
    chosen = {suite for name in (*profile.required, *profile.optional)
              if (suite := find_suite(name)) is not None and suite in available}
    for name in additional:
        suite = _additional(profile, name)
        if suite is None:
            continue
        if suite not in available:
            raise UsageError(f"ciphersuite '{name}' is not supported by {ssl.OPENSSL_VERSION}")
        chosen.add(suite)
    return sorted(chosen, key=by_strength)


def _additional(profile: SecurityProfile, name: str) -> Suite | None:
    """Return the suite of ``--cipher``, None when it is one of TLS 1.3 and there anyway."""
    if not profile.extensible:
        raise UsageError(f"additional ciphersuites are not permitted with security profile '{profile.title}'")
    if name.upper() in TLS13_SUITES and profile.tls13:
        return None
    suite = find_suite(name)
    if suite is None:
        raise UsageError(f"unknown ciphersuite: {name}")
    if not suite.encrypts and profile is not PROFILES["null"]:
        raise UsageError(f"unencrypted ciphersuite '{name}' is not permitted with security profile '{profile.title}'")
    if suite.sha1 and profile is PROFILES["8996"]:
        raise UsageError(f"ciphersuite '{name}' with SHA-1 is not permitted with security profile '{profile.title}'")
    _warn_of(suite)
    return suite


def _warn_of(suite: Suite) -> None:
    """Say what RFC 9325 recommends against (section 4.1)."""
    if suite.key_exchange != "ECDHE":
        _log.warning("ciphersuite '%s': RFC 9325 recommends not to use key exchange by %s", suite.name, suite.key_exchange)
    if suite.cbc:
        _log.warning("ciphersuite '%s': RFC 9325 recommends not to use CBC mode", suite.name)
    if 0 < suite.key_bits < 128:
        _log.warning("ciphersuite '%s': RFC 9325 recommends keys of 128 bits or more", suite.name)


def list_ciphers() -> str:
    """Return what ``--list-ciphers`` prints."""
    names = (*TLS13_SUITES, *(suite.name for suite in available_suites()))
    return "Supported TLS ciphersuites are:\n" + "".join(f"  {name}\n" for name in names)


def list_profiles() -> str:
    """Return what ``--list-profiles`` prints: every profile, and why one is not possible here."""
    available = {suite.name for suite in available_suites()}
    lines = ["Supported TLS profiles are:"]
    for name, profile in PROFILES.items():
        retired = " (retired)" if profile.retired else ""
        missing = [suite for suite in profile.required if suite not in available]
        note = f"\n    not possible: {ssl.OPENSSL_VERSION} has no {', '.join(missing)}" if missing else ""
        lines.append(f"  --profile-{name}: {profile.title}{retired}{note}")
    return "\n".join(lines) + "\n"
