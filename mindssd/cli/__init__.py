"""The commands, a file each: words, and what is slow to import inside them."""
