"""Photographs on their way through the page, without a page: read, judged, coloured, marked."""
