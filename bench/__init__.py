"""How fast the engine is beside a loop written by hand that does the same work; ``python -m bench --help``."""
