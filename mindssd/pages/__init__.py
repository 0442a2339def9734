"""What every HTML page of ours shares: its frame, text, tables, figures, charts and style."""
