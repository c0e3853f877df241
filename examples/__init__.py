"""Examples: each folder holds a recipe, its data, and the script that built the data."""
