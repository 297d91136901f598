"""What runs a network: PyTorch, OpenVINO, ONNX Runtime; int8; and the fastest faithful one."""
