"""TLS: files, profiles and ciphers of DCMTK's options, the context and the transport."""
