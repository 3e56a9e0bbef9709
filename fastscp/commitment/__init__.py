"""Storage commitment (PS3.4 Annex J): messages, verdicts, requests that wait, and the process that carries them out."""
