"""The classifiers: backbones, training, fine-tuning. All that needs Keras."""
