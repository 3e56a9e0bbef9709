"""Log levels, DCMTK-compatible layouts and appenders."""
