"""The only place where a configuration becomes objects, one file a subject."""
