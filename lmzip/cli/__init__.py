"""The command line: parses, calls, maps errors to exit codes."""
