"""The laboratory: experiments on knowledge, memory and scaling whose numbers are lengths of streams."""
