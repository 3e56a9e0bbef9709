"""fastscp-blast: a load tester of Storage SCPs. Programs use ``run.run`` with a ``plan.Plan``."""
