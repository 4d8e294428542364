"""Draw theory against experiment, and make each figure citable."""
