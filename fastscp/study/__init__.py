"""The coordinator's brain: studies, hooks' templates, durable state."""
