"""The thin webhook receiver: HTTP and signature verification, then one transaction."""
