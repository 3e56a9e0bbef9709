"""How the processes are put together: the pool, one association from inetd, privileges."""
