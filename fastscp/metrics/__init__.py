"""What the service counts: the table of metrics, and the memory that all processes count in."""
