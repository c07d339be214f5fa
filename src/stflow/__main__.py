"""Run the command line as ``python -m stflow``."""

from stflow._cli import main

if __name__ == "__main__":
    main(prog_name="stflow")
