"""Every paid booking reaches the property management system once: a transactional outbox."""

__version__ = "0.1.0"
