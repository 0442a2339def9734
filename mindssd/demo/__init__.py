"""The drawn data set: coral reefs with five classes of animals, to try everything with."""
