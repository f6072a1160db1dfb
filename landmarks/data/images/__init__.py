"""Images: found, checked, decoded, from files, clips and programs."""
