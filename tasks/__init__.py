"""One concern a file: pure builders and decisions first, then the tasks that call AWS."""
