"""The console in Chromium: signing in, and a conversation with everything that a user may do in it."""

from playwright.async_api import Browser, Page, expect

from harness.browser import Watched, watched_page
from harness.callers import Caller
from harness.identities import PASSWORD
from harness.pages import ChatPage


def console(owner: Caller) -> str:
    return str(owner.client.base_url).removesuffix("/api/")


async def sign_in(page: Page, owner: Caller) -> None:
    await page.get_by_label("User name").fill(owner.username)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("Password").press("Enter")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_a_user_signs_in_asks_and_comes_back(browser: Browser, owner: Caller) -> None:
    async with watched_page(browser, viewport={"width": 1200, "height": 800}) as seen:
        await seen.page.goto(console(owner))
        await expect(seen.page.get_by_role("heading", name="Frontdesk")).to_be_visible()
        assert await seen.barriers() == []
        await seen.picture("console-sign-in")
        await sign_in(seen.page, owner)
        await seen.picture("console-home")
        assert await seen.barriers() == []
        chat = ChatPage(seen.page)
        await chat.say("Tell me about maps")
        await expect(chat.answers.get_by_text("t19")).to_be_visible()
        await expect(seen.page.get_by_role("link", name="Tell me about maps")).to_be_visible()
        await seen.page.reload()
        await expect(chat.answers.get_by_text("t19")).to_be_visible()
        await chat.answers.get_by_role("button", name="Good answer").click()
        await expect(chat.answers.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
        await seen.picture("console-thread")
        assert await seen.barriers() == []
        await seen.page.get_by_role("button", name="Sign out").click()
        await expect(seen.page.get_by_label("Password")).to_be_visible()
        assert seen.strangers(console(owner)) == []
        assert _unexpected(seen) == []


async def test_answers_have_versions_and_questions_branches(browser: Browser, owner: Caller) -> None:
    async with watched_page(browser) as seen:
        await seen.page.goto(console(owner))
        await sign_in(seen.page, owner)
        chat = ChatPage(seen.page)
        await chat.say("one")
        await expect(chat.answers.get_by_text("t19")).to_be_visible()
        await chat.say("two")
        await expect(chat.answers.nth(1).get_by_text("t19")).to_be_visible()
        await chat.answers.nth(1).get_by_role("button", name="Answer again").click()
        await expect(chat.answers.nth(1).get_by_text("2 of 2")).to_be_visible()
        await chat.answers.nth(1).get_by_role("button", name="Earlier version").click()
        await expect(chat.answers.nth(1).get_by_text("1 of 2")).to_be_visible()
        await expect(chat.questions.nth(1).get_by_role("button", name="Edit")).to_be_attached()
        await chat.questions.nth(1).hover()
        await chat.questions.nth(1).get_by_role("button", name="Edit").click()
        await seen.page.get_by_role("textbox", name="Edit").fill("three")
        await seen.page.get_by_role("textbox", name="Edit").press("Enter")
        await expect(chat.questions.nth(1).get_by_text("three")).to_be_visible()
        await expect(chat.questions.nth(1).get_by_text("2 of 2")).to_be_attached()
        await expect(chat.answers.nth(1).get_by_text("t19")).to_be_visible()
        await expect(chat.questions).to_have_count(2)
        assert _unexpected(seen) == []


async def test_a_wrong_password_is_told(browser: Browser, owner: Caller) -> None:
    async with watched_page(browser) as seen:
        await seen.page.goto(f"{console(owner)}/console/threads/none")
        await seen.page.get_by_label("User name").fill("nobody")
        await seen.page.get_by_label("Password").fill("wrong password")
        await seen.page.get_by_role("button", name="Sign in").click()
        await expect(seen.page.get_by_role("alert")).to_contain_text("password is wrong")


def _unexpected(seen: Watched) -> list[str]:
    return [each for each in seen.complaints if "the server responded with a status of 401" not in each]
