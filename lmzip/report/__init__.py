"""Tables, plots and pages of what was measured. Measures nothing."""

from .content import comparison_tables, measurement_tables
from .tables import markdown

__all__ = ["comparison_tables", "markdown", "measurement_tables"]
