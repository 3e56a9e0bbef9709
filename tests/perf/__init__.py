"""The benchmarks of perf/: their parts, and every program in a run of seconds. Shapes are asserted, never times."""
