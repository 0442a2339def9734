"""`python -m mindssd` is `mindssd`: launchers such as msrun start modules."""

from mindssd.cli.main import main

if __name__ == "__main__":
    main()
