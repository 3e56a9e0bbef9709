"""Headers built like one seen before: recognised as a whole, and written without being read."""
