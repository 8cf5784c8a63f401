"""``python -m dlgen_cli`` and the console script ``dlgen``."""

from dlgen_cli.cli.app import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
