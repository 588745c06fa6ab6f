"""Brings a job's inputs to the machine: pipeline, data file, images, default input folder.

`load_data` handles the content of a LoadData CSV.
"""
