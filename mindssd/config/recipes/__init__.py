"""The recipes that come with mindssd, as YAML."""
