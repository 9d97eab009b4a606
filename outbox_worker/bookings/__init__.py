"""The site's bookings: what we read, what payments change, what we mirror."""
