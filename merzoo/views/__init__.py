"""View kinds: what a network can be shown of an interval. Each is registered by name."""
