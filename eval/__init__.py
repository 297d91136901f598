"""Numbers: every method of colorization measured on the same photographs, in the same way."""
