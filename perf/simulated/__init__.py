"""A fleet in simulated time: perf/simulation.py runs it."""
