"""What is measured on one photograph, and how sure a mean over photographs is."""
