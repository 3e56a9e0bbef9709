"""PS3.7, DIMSE messages, sans-IO."""
