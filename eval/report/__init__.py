"""From measured rows to numbers, tables, figures, sheets and pages."""
