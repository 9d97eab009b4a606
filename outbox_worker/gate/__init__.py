"""Gates in front of a destination: circuit, rate limit, pause."""
