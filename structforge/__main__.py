"""`python -m structforge` is the command `structforge`."""

from structforge.cli.main import main

if __name__ == "__main__":
    main()
