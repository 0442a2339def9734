"""The MindSpore engine: every `import mindspore` and `import mindcv` of the project is in here."""
