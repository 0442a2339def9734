"""From a configuration to objects, one file a subject: the only room that knows both."""
