"""Incidents, their text, and the channels that carry it."""
