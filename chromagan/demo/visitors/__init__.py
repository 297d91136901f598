"""Visitors' files: private folders under random names, deleted by age, on demand and at the end."""
