"""Sockets and what is around them: transports, listeners, peers, the service manager."""
