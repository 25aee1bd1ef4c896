"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# OLDEST_PROGRAM = ${repr(down_revision)}  when programs older than that could not run on the tables after this step


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
