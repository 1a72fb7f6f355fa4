"""`python3 -m unittest` (or pytest) in `sdk/python`."""
