"""The property management system: a port, its mapping and its adapters."""
