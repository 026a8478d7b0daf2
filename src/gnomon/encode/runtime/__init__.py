"""What runs an encoder: tokenizer, batches, OpenVINO or torch."""
