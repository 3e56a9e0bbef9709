"""Benchmarks; README.md says what is where."""
