"""What a study leaves on disk: its paths, its events, its checkpoints."""
