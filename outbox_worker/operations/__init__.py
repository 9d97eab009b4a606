"""What operators do, without its presentation: references, timelines, asking again, listings."""
