"""Inbound payment events: read, decide, and apply in one transaction."""
