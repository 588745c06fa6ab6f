"""Example job files and the demo project. The only code here generates the plate of the demo."""
