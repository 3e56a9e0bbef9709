"""What carries the events of a fleet to a message broker."""
