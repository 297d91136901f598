"""What people are shown: the stimulus set, who sees which picture, plates and manipulations."""
