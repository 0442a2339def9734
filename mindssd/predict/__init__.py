"""A prediction job: sources in, detections out, written as they come."""
