"""What a job reads, from S3 to the machine: pipeline, data file, images, default input folder.

What is in a LoadData CSV is left to `load_data`, and what a job writes to `outputs`.
"""
