"""The recipe of the embedded models: tokenizer, data, training, export (training/README.md)."""
