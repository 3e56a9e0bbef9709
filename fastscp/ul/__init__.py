"""PS3.8, the DICOM Upper Layer, sans-IO."""
