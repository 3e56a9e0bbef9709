"""One instance on disk: names, temporary, publication."""
