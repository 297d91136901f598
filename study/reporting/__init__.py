"""From figures to a report: sentences, tables, plots, pages."""
