"""``python -m dsapi`` is the ``dsapi`` command."""

from dsapi.cli import main

if __name__ == "__main__":
    main()
