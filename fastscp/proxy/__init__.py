"""The PROXY protocol, by which a balancer says whose connection it passes on (sans-IO)."""
