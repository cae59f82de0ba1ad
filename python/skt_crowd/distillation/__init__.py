"""Structured knowledge transfer from a teacher to a student, on top of the training loop."""
