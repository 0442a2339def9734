"""From a configuration to objects, one file a subject; nothing else does that."""
