"""What a run minimises: the error against the points, and with a teacher also what separates student from it."""
