"""A data set written anew, in another format or clean."""
