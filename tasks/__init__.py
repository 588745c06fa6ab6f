"""One concern per file: pure builders and decisions first, then the functions that call AWS."""
