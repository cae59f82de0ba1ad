"""What tools/fuzz_operators.py draws, calls and checks."""
