"""The accounts' shapes on the wire. Unknown fields of a request are ignored: they have no effect."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from frontdesk.identity.tokens.codec import MAX_TOKEN_LENGTH
from frontdesk.identity.users.models import EMAIL_LENGTH, TIER_LENGTH, USERNAME_LENGTH, Registration, Role, User
from frontdesk.identity.users.rules import (
    ALLOW_LIST_ITEM_LENGTH,
    ALLOW_LIST_LENGTH,
    EMAIL_PATTERN,
    PASSWORD_BYTES,
    PASSWORD_CHARACTERS,
)

_Username = Annotated[str, StringConstraints(min_length=1, max_length=USERNAME_LENGTH)]
_Email = Annotated[str, StringConstraints(max_length=EMAIL_LENGTH, pattern=EMAIL_PATTERN)]
_Password = Annotated[str, StringConstraints(min_length=PASSWORD_CHARACTERS, max_length=PASSWORD_BYTES)]
_Tier = Annotated[str, StringConstraints(min_length=1, max_length=TIER_LENGTH)]
_Item = Annotated[str, StringConstraints(min_length=1, max_length=ALLOW_LIST_ITEM_LENGTH)]
_AllowList = Annotated[list[_Item], Field(max_length=ALLOW_LIST_LENGTH)]


class RegisterIn(BaseModel):
    username: _Username
    password: _Password
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
    def of(cls, user: User) -> Self:
        return cls.model_validate(cls.values_of(user))

    @staticmethod
    def values_of(user: User) -> dict[str, Any]:
        return {
            "id": user.id,
            "username": user.username,
            "email": user.email,
            "role": user.role,
            "permissions": Permissions(products=_list(user.allowed_products), agents=_list(user.allowed_agents)),
            "created_at": user.created_at,
        }


class AccountOut(UserOut):
    """A `tier` of null is the default one. One that is not active cannot sign in."""

    is_active: bool
    tier: str | None

    @staticmethod
    def values_of(user: User) -> dict[str, Any]:
        return {**UserOut.values_of(user), "is_active": user.is_active, "tier": user.tier}


class AccountsOut(BaseModel):
    """`tiers` are the names of those that there are."""

    items: list[AccountOut]
    page: int
    limit: int
    total: int
    tiers: list[str]
    default_tier: str


class AccountPatch(BaseModel):
    """A field that is left out stays. An allow list or a tier of null lifts the bound, or goes back to the default."""

    role: Role = Role.user
    is_active: StrictBool = True
    tier: _Tier | None = None
    allowed_products: _AllowList | None = None
    allowed_agents: _AllowList | None = None
    password: _Password = ""

    def changes(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _list(items: tuple[str, ...] | None) -> list[str] | None:
    return None if items is None else list(items)
