"""PS3.5, PS3.6 and PS3.10 as pure code: scanning, rewriting and naming data sets."""
