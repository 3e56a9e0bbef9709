"""The rewrite engine: one data set in, octet by octet, and the data set as storescp would store it out."""
