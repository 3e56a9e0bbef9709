"""What is handed out: the Debian package, the image, the units, the scripts."""
