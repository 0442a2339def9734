"""A model as a folder that is a web page: pictures are looked at in the browser."""
