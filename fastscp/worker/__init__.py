"""A worker process: many associations in one loop, each object from socket to file."""
