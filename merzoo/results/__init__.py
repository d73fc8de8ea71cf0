"""Result files: what one model scored, or what it costs, as one JSON file that others can check (docs/results.md)."""
