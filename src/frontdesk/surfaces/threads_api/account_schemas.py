"""The accounts' shapes on the wire. Unknown fields of a request are ignored: they have no effect."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from frontdesk.identity.tokens.codec import MAX_TOKEN_LENGTH
from frontdesk.identity.users.models import EMAIL_LENGTH, USERNAME_LENGTH, Registration, Role, User
from frontdesk.identity.users.rules import (
    ALLOW_LIST_ITEM_LENGTH,
    ALLOW_LIST_LENGTH,
    EMAIL_PATTERN,
    PASSWORD_BYTES,
    PASSWORD_CHARACTERS,
)

_Username = Annotated[str, StringConstraints(min_length=1, max_length=USERNAME_LENGTH)]
_Email = Annotated[str, StringConstraints(max_length=EMAIL_LENGTH, pattern=EMAIL_PATTERN)]
_Item = Annotated[str, StringConstraints(min_length=1, max_length=ALLOW_LIST_ITEM_LENGTH)]
_AllowList = Annotated[list[_Item], Field(max_length=ALLOW_LIST_LENGTH)]


class RegisterIn(BaseModel):
    username: _Username
    password: Annotated[str, StringConstraints(min_length=PASSWORD_CHARACTERS, max_length=PASSWORD_BYTES)]
    email: _Email | None = None
    role: Role = Role.user
    allowed_products: _AllowList | None = None
    allowed_agents: _AllowList | None = None

    def registration(self) -> Registration:
        return Registration(
            username=self.username,
            password=self.password,
            email=self.email,
            role=self.role,
            allowed_products=None if self.allowed_products is None else tuple(self.allowed_products),
            allowed_agents=None if self.allowed_agents is None else tuple(self.allowed_agents),
        )


class LoginIn(BaseModel):
    username: _Username
    password: Annotated[str, StringConstraints(max_length=PASSWORD_BYTES)]


class RefreshIn(BaseModel):
    refresh_token: Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)]


class TokenPairOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: int


class Permissions(BaseModel):
    """A list is an allow list; null permits everything."""

    products: list[str] | None
    agents: list[str] | None


class UserOut(BaseModel):
    id: str
    username: str
    email: str | None
    role: Role
    permissions: Permissions
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> "UserOut":
        products, agents = user.allowed_products, user.allowed_agents
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            role=user.role,
            permissions=Permissions(
                products=None if products is None else list(products), agents=None if agents is None else list(agents)
            ),
            created_at=user.created_at,
        )
