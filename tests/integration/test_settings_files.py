from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.errors import SettingsError
from outbox_worker.settings import Secret, SettingsReader

DATABASE = "postgresql://app:hunter2@db.example.com:5432/app"


def only_fault(reader: SettingsReader) -> str:
    with pytest.raises(SettingsError) as caught:
        reader.finish()
    (fault,) = caught.value.faults
    return fault


def test_a_secret_may_come_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(DATABASE + "\n", encoding="utf-8")
    reader = SettingsReader({"DATABASE_URL_FILE": str(file)})

    assert reader.database().url == Secret(DATABASE)
    reader.finish()


def test_a_secret_may_come_from_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "STRIPE_WEBHOOK_SECRET").write_text("whsec_new,whsec_old\n", encoding="utf-8")
    reader = SettingsReader({"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert reader.stripe().webhook_secrets == (Secret("whsec_new"), Secret("whsec_old"))
    reader.finish()


def test_a_blank_credential_is_a_stand_in_for_one_that_was_not_given(tmp_path: Path) -> None:
    (tmp_path / "SMTP_URL").write_text("\n", encoding="utf-8")
    (tmp_path / "DATABASE_URL").write_text("\n", encoding="utf-8")
    reader = SettingsReader({"CREDENTIALS_DIRECTORY": str(tmp_path), "DATABASE_URL": DATABASE})

    assert reader.alerts().smtp_url is None
    assert reader.database().url == Secret(DATABASE)
    reader.finish()


def test_a_secret_given_in_two_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "GUESTLY_API_KEY").write_text("key", encoding="utf-8")
    file = str(tmp_path / "GUESTLY_API_KEY")
    by_name, by_file = {"GUESTLY_API_KEY": "key"}, {"GUESTLY_API_KEY_FILE": file}
    by_credential = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    for environ in (by_name | by_file, by_name | by_credential, by_file | by_credential):
        reader = SettingsReader(environ)
        reader.sync()
        assert "GUESTLY_API_KEY is given more than once" in only_fault(reader)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "64 KiB")],
)
def test_a_secret_file_that_cannot_be_used_is_a_fault(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "hunter2"
    if content is not None:
        file.write_bytes(content)

    reader = SettingsReader({"SMTP_URL_FILE": str(file)})
    reader.alerts()
    fault = only_fault(reader)

    assert fault.startswith("SMTP_URL ")
    assert told in fault
    assert "hunter2" not in fault
