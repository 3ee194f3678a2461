"""Pages that show a batch or the whole fleet as pictures: from plain data to one HTML file."""
