"""Models that go out as ONNX, and models of others that come in."""
