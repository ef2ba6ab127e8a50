"""The benchmark of samplers under its short name: `python -m benchmarks --quick`."""

from benchmarks.samplers.__main__ import main

if __name__ == "__main__":
    main()
