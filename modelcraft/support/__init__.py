"""The foundation of everything else: errors, files, devices."""
