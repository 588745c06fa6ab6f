"""The flows: what happens in a run, and in what order."""
