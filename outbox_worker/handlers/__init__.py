"""One handler per destination: load, decide, call, answer with an outcome and effects."""
