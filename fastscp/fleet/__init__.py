"""Several gateways that share a PostgreSQL: what they tell it, and what it decides."""
