"""Tables of what was measured. Measures nothing."""

from .tables import markdown_table

__all__ = ["markdown_table"]
