"""What answers hold beside their text: widgets, sources, images, and calls that an agent made by itself."""
