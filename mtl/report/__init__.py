"""The kit of all reports: one HTML file each, figures inside, no network."""
