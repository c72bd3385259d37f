"""The checks: what is measured of a result, and the limits of a sound value."""
