"""From images to detections, with any network's `forward`."""
