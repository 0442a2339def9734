"""The PyTorch engine: every `import torch` of the project is in here."""
