"""Models as files for other engines, written only where they answer as the run does."""
