"""What a run minimises: the error against the annotation, and with a teacher what separates the student from it."""
