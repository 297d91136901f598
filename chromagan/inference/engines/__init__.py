"""What runs a network: ONNX Runtime, OpenVINO, PyTorch; and which of them is fastest here."""
