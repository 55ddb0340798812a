"""What comes from a node is unpacked below its folder, or not at all."""

from __future__ import annotations

import io
import tarfile

import pytest

from harness.errors import RecordsError
from harness.fleet import parcel
from harness.fleet.parcel import files_below, pack, unpack


def test_a_folder_goes_and_comes_back(tmp_path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "run.json").write_text("{}")
    (tmp_path / "a" / "deep" / "x.bin").write_bytes(bytes(range(256)))
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    unpack(pack(files_below(tmp_path / "a")), tmp_path / "b")
    assert sorted(files_below(tmp_path / "b")) == ["deep/x.bin", "run.json"]
    assert (tmp_path / "b" / "deep" / "x.bin").read_bytes() == bytes(range(256))
    assert not (tmp_path / "b" / "link").exists()


def tar_of(*members: tarfile.TarInfo) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return into.getvalue()


def member(name: str, **what: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in what.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../out"), "leads out of it"),
        (member("/out"), "leads out of it"),
        (member("a/../../out"), "leads out of it"),
        (member("link", type=tarfile.SYMTYPE, linkname="/"), "is no plain file"),
        (member("hard", type=tarfile.LNKTYPE, linkname="fine"), "is no plain file"),
        (member("device", type=tarfile.CHRTYPE), "is no plain file"),
    ],
)
def test_what_leads_elsewhere_leaves_nothing(tmp_path, bad, message) -> None:
    with pytest.raises(RecordsError, match=message):
        unpack(tar_of(member("fine", size=3), bad), tmp_path / "in")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_parcel_or_too_much_is_refused(tmp_path, monkeypatch) -> None:
    for broken in (b"", b"no tar", tar_of(member("a", size=5000))[:60]):
        with pytest.raises(RecordsError, match="what came from the node is no folder"):
            unpack(broken, tmp_path / "in")
    monkeypatch.setattr(parcel, "MOST_BYTES", 10)
    with pytest.raises(RecordsError, match="too many files, or too large ones"):
        unpack(tar_of(member("a", size=6), member("b", size=6)), tmp_path / "in")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_into(tmp_path) -> None:
    with pytest.raises(RecordsError, match="cannot be written: File exists"):
        unpack(tar_of(member("a")), tmp_path)
