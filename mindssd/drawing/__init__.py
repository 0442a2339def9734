"""Detections drawn on pictures: boxes, and lines of text in any script."""
