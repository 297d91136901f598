"""One evaluation: photographs, who takes part, the run folder, and the loop over both."""
