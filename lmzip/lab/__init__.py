"""The laboratory: experiments on knowledge, memory and scaling, by lengths of streams."""
