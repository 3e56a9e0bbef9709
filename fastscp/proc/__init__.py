"""Processes, sockets, signals and clocks: the only package that touches them."""
