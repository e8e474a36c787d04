"""Next-token frequencies, exactly: one interface, one arithmetic, any number of engines."""

from .arithmetic import NUMERICS_VERSION, PRECISION, RADIX
from .config import ModelConfig
from .interface import Cache, Engine, Predictions, RewindingCache
from .weights import Pack

__all__ = [
    "NUMERICS_VERSION",
    "PRECISION",
    "RADIX",
    "Cache",
    "Engine",
    "ModelConfig",
    "Pack",
    "Predictions",
    "RewindingCache",
]
