"""``python -m asyncupload``."""

from .cli import main

raise SystemExit(main())
