"""Encoder graphs built from weights with OpenVINO's op set, no torch. Import lazily: this loads openvino."""
