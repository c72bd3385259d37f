"""What is measured of a result, and between which values it is sound: the records of the table."""
