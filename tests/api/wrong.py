"""What `mypy --strict` shall refuse: each line with `# wrong` has a fault of types."""

import mindssd
from mindssd.training.callbacks import EpochDone

detector = mindssd.load("model.onnx")


def each_epoch(done: EpochDone) -> str:
    return "on"


mindssd.train({"epochs": 3}, devices="2")  # wrong
mindssd.train(on_epoch=each_epoch)  # wrong
mindssd.train(on_step=lambda done: done.los > 3)  # wrong
mindssd.evaluate(3)  # wrong
mindssd.predict("model.onnx", "a.jpg", scores=0.5)  # wrong
mindssd.export("best.safetensors", nms="yes")  # wrong
mindssd.load("model.onnx", score_treshold=0.5)  # wrong
detector("a.jpg", channels="grb")  # wrong
print(detector("a.jpg").boxen)  # wrong
