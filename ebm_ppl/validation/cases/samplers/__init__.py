"""One module per public kernel; each exports `CASES`."""
