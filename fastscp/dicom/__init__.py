"""PS3.5, PS3.6 and PS3.10 as pure code: the tables and records of the standard, and the rewriting of data sets."""
