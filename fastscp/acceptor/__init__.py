"""The acceptor process: listens, admits, hands sockets to workers, supervises."""
