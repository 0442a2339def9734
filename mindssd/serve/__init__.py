"""The HTTP service and its page: `mindssd serve`."""
