"""Which ONNX files are taken for those of `landmarks export`."""

import json

import pytest
from refusals import refused

from landmarks.inference.onnx_model import OnnxModel

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
FACTS = {
    "format": 1,
    "layout": {"name": "two", "num_points": 2},
    "num_points": 2,
    "unlabelled": [],
    "certainty": "none",
    "config": {},
    "input_size": 32,
    "boxed": False,
}


@pytest.mark.parametrize("facts", [None, FACTS])
def test_another_graph_is_refused_whatever_it_says_of_itself(facts, tmp_path):
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, kind, [1]) for name in "xy"]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "other", ends[:1], ends[1:])
    model = onnx.helper.make_model(
        graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    if facts is not None:
        onnx.helper.set_model_props(model, {"landmarks": json.dumps(facts)})
    onnx.save(model, tmp_path / "other.onnx")
    with refused("other.onnx", "landmarks export"):
        OnnxModel(tmp_path / "other.onnx", device="cpu")
