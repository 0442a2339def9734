"""Pure functions on boxes: default boxes, matching, coding, suppression, selection."""
