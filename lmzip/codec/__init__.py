"""Compress and decompress: joins engine, coder, text and format."""

from .compressor import DEFAULT_MEMORY_LIMIT, CompressionSummary, compress_stream
from .conditioned import ConditionedEngine, ThoughtPlan
from .decompressor import ArchiveReader, decompress_stream
from .incremental import ArchiveDecoder, ArchiveEncoder
from .ledger import LedgerItem, ledger
from .many import MANY_BYTES, compress_many, decompress_many, gains_by_company
from .model import CodecModel, ModelSource, OneModel, model_reference
from .pair import read_pair, split_pair, write_pair
from .parameters import CodingParameters
from .random_access import ArchiveIndex, BlockReader
from .recording import TokenCosts, token_costs
from .side import SideInformation, SideParameters
from .streams import stream_spans
from .work import TimeBudget

__all__ = [
    "DEFAULT_MEMORY_LIMIT",
    "MANY_BYTES",
    "ArchiveDecoder",
    "ArchiveEncoder",
    "ArchiveIndex",
    "ArchiveReader",
    "BlockReader",
    "CodecModel",
    "CodingParameters",
    "CompressionSummary",
    "ConditionedEngine",
    "LedgerItem",
    "ModelSource",
    "OneModel",
    "SideInformation",
    "SideParameters",
    "ThoughtPlan",
    "TimeBudget",
    "TokenCosts",
    "compress_many",
    "compress_stream",
    "decompress_many",
    "decompress_stream",
    "gains_by_company",
    "ledger",
    "model_reference",
    "read_pair",
    "split_pair",
    "stream_spans",
    "token_costs",
    "write_pair",
]
