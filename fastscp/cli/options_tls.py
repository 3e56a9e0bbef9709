"""Option table: transport layer security."""

from __future__ import annotations

from fastscp.cli.option import Option, Origin, alternatives, directory, file, grouped, only_with_tls, text

_GROUP = "transport layer security (TLS) options"

_STACK = grouped(
    _GROUP, "transport protocol stack",
    *alternatives(
        "tls",
        Option("--disable-tls", "-tls", "use normal TCP/IP connection (default)", default=True),
        Option("--enable-tls", "+tls", "use authenticated secure TLS connection",
               "[p]rivate key file, [c]ertificate file: string", (*file("private key"), *file("certificate"))),
    ),
)

_SETTINGS = (
    *grouped(
        _GROUP, "private key password (only with --enable-tls)",
        *alternatives(
            "password",
            Option("--std-passwd", "+ps", "prompt user to type password on stdin (default)", default=True),
            Option("--use-passwd", "+pw", "use specified password", "[p]assword: string", text("password"), absent="asked for, where the key has one"),
            Option("--null-passwd", "-pw", "use empty string as password"),
        ),
    ),
    *grouped(
        _GROUP, "key and certificate file format",
        *alternatives(
            "key-format",
            Option("--pem-keys", "-pem", "read keys and certificates as PEM file (default)", default=True),
            Option("--der-keys", "-der", "read keys and certificates as DER file"),
        ),
    ),
    *grouped(
        _GROUP, "certification authority",
        Option("--add-cert-file", "+cf", "add certificate file to list of certificates", "[f]ilename: string",
               file(), repeatable=True),
        Option("--add-cert-dir", "+cd", "add certificates in d to list of certificates", "[d]irectory: string",
               directory(), repeatable=True),
        Option("--add-crl-file", "+crl", "add certificate revocation list file\n(implies --enable-crl-vfy)",
               "[f]ilename: string", file(), repeatable=True, origin=Origin.NEWER),
        Option("--enable-crl-vfy", "+crv", "enable leaf CRL verification", origin=Origin.NEWER),
        Option("--enable-crl-all", "+cra", "enable full chain CRL verification", origin=Origin.NEWER),
    ),
    *grouped(
        _GROUP, "security profile",
        Option("--list-profiles", "+ph", "list supported TLS profiles and exit", ends=True, origin=Origin.NEWER),
        *alternatives(
            "security-profile",
            Option("--profile-8996", "+pg", "BCP 195 RFC 8996 TLS Profile (default)", default=True,
                   origin=Origin.NEWER),
            Option("--profile-8996-mod", "+pm", "Modified BCP 195 RFC 8996 TLS Profile", origin=Origin.NEWER),
            Option("--profile-bcp195-nd", "+py", "Non-downgrading BCP 195 TLS Profile (retired)",
                   origin=Origin.NEWER),
            Option("--profile-bcp195", "+px", "BCP 195 TLS Profile (retired)", origin=Origin.NEWER),
            Option("--profile-bcp195-ex", "+pz", "Extended BCP 195 TLS Profile (retired)", origin=Origin.NEWER),
            Option("--profile-basic", "+pb", "Basic TLS Secure Transport Connection Profile\n(retired)",
                   origin=Origin.NEWER),
            Option("--profile-aes", "+pa", "AES TLS Secure Transport Connection Profile\n(retired)",
                   origin=Origin.NEWER),
            Option("--profile-null", "+pn",
                   "Authenticated unencrypted communication\n(retired, was used in IHE ATNA)", origin=Origin.NEWER),
        ),
    ),
    *grouped(
        _GROUP, "ciphersuite",
        Option("--list-ciphers", "+cc", "show list of supported TLS ciphersuites and exit", ends=True,
               origin=Origin.NEWER),
        Option("--cipher", "+cs", "add ciphersuite to list of negotiated suites\n(not with --profile-bcp195-ex)",
               "[c]iphersuite name: string", text("ciphersuite"),
               conflicts=("--profile-bcp195-ex",), repeatable=True),
        Option("--dhparam", "+dp", "read DH parameters for DH/DSS ciphersuites", "[f]ilename: string", file(),
               absent="ffdhe2048 of RFC 7919"),
    ),
    *grouped(
        _GROUP, "pseudo random generator",
        Option("--seed", "+rs", "seed random generator with contents of f", "[f]ilename: string", file()),
        *alternatives(
            "write-seed",
            Option("--write-seed", "+ws", "write back modified seed (only with --seed)", requires=("--seed",)),
            Option("--write-seed-file", "+wf", "write modified seed to file f",
                   "[f]ilename: string (only with --seed)", file(), requires=("--seed",)),
        ),
    ),
    *grouped(
        _GROUP, "peer authentication",
        *alternatives(
            "peer-authentication",
            Option("--require-peer-cert", "-rc", "verify peer certificate, fail if absent (default)", default=True),
            Option("--verify-peer-cert", "-vc", "verify peer certificate if present"),
            Option("--ignore-peer-cert", "-ic", "don't verify peer certificate"),
        ),
    ),
)

#: storescp takes these two without TLS as well.
_SERVER_NAME = grouped(
    _GROUP, "server name indication",
    Option("--no-sni", "", "do not check the server name a client asks for\n(default)",
           conflicts=("--expect-sni",), origin=Origin.NEWER),
    Option("--expect-sni", "", "expect clients that name a server to name s", "[s]erver name: string",
           text("server name"), origin=Origin.NEWER),
)

TLS = (*_STACK, *only_with_tls(*_SETTINGS), *_SERVER_NAME)
