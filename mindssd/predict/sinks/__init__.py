"""What a prediction leaves behind, one module a format; each writes as the images come."""
