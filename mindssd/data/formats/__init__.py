"""Annotation formats, a module each, to a `DetectionDataset`."""
