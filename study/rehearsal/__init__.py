"""Participants without people: known rates, robots over HTTP, load."""
