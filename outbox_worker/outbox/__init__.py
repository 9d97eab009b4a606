"""The engine: deliveries, their rules (pure) and their statements."""
