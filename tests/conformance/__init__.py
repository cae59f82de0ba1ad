"""One suite of tests for every operator and every backend; see README.md."""
