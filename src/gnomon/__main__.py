"""`python -m gnomon`: the command line."""

from gnomon.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run())
