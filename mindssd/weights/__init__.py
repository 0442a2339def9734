"""Files of parameters: mindssd's and MindSpore's, their names, and published backbones."""
