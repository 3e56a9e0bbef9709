"""The command line: one option table, its parser, help, and the programs."""
