"""The coordinator process: studies, hooks and events of all workers in one order."""
