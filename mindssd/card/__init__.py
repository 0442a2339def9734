"""A model described for those who get it: its card, in the format of the Hugging Face Hub."""
