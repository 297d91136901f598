"""The survey in a browser: pages, trials, admin pages, and what guards them."""
