"""`python -m frontdesk.search.reindex`: the same as `frontdesk search reindex`."""

import sys

from frontdesk.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["search", "reindex"]
    main()
