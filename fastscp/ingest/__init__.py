"""Batch ingest: files, archives and media through everything that objects from the network go through."""
