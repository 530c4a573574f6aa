"""What lies in a folder of runs, and how two of them differ."""
