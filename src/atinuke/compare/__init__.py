"""Some networks, one text, one budget → a table and a picture of what each made of it. No torch in this room."""
