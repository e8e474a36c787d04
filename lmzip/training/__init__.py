"""Training small models, on a CPU or a GPU. Everything here needs PyTorch.

`loop.Loop` trains a `model.Model` of a `shape.Shape` by a `shape.Schedule` on any `loop.Source` of
token sequences (`rows.Rows` is one), with checkpoints and resumption; `packs` turns weights into
packs and back; `own` is what `lmzip train` does.
"""
