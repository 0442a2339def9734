"""Detections scored: protocols, COCO's numbers, reports."""
