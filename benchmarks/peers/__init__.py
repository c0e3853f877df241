"""Other libraries, each in an environment of its own, doing what Sensorium is measured at."""
