"""From answers to figures: pure functions and frozen results."""
